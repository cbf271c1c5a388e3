"""Patient A's studies in Orthanc for the gateway's figures: frames of 128 kB, frames of 512 kB, and one study of 1 GB."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

from tests.benchmarks.stack import PATIENT
from tests.interop.orthanc_process import Orthanc
from tests.pacs_actors import Slice

FRAME_ACCEPT = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
STUDY_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
STORING_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A study of one series, uncompressed, 16 bits a sample."""

    study: str
    side: int
    instances: int
    frames: int = 1

    @property
    def frame_bytes(self) -> int:
        return self.side * self.side * 2

    @property
    def paths(self) -> list[str]:
        """Below the DICOMweb root: the first frame of every instance."""
        series = f"/studies/{self.study}/series/{self.study}.1"
        return [f"{series}/instances/{self.study}.1.{number}/frames/1" for number in range(1, self.instances + 1)]

    def file(self, number: int) -> bytes:
        """The DICOM file of one instance."""
        made = Slice(study_uid=self.study, number=number, frames=self.frames).dataset()
        made.Rows = made.Columns = self.side
        ramp = np.arange(self.side * self.side, dtype=np.uint16) + number
        made.PixelData = ramp.astype("<u2").tobytes() * self.frames
        written = BytesIO()
        made.save_as(written, enforce_file_format=True)
        return written.getvalue()

    def imaging_study(self) -> dict[str, Any]:
        """The EHR's word that it is patient A's."""
        return {
            "resourceType": "ImagingStudy",
            "id": f"bench-{self.study.rpartition('.')[2]}",
            "status": "available",
            "subject": {"reference": f"Patient/{PATIENT}"},
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{self.study}"}],
            "started": "2020-01-05T10:15:00Z",
            "modality": [{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT"}],
        }


SMALL = Images(study="2.25.77128", side=256, instances=32)
LARGE = Images(study="2.25.77512", side=512, instances=32)
HUGE = Images(study="2.25.771024", side=512, instances=8, frames=256)
"""1 GB in files of 128 MB."""
STUDIES = (SMALL, LARGE, HUGE)
SIZES = {"128 kB": SMALL, "512 kB": LARGE}


def store(images: Images, orthanc: Orthanc) -> None:
    """Puts the study into Orthanc."""
    with orthanc.session() as session:
        for number in range(1, images.instances + 1):
            sent = session.post(f"{orthanc.url}/instances", data=images.file(number), timeout=STORING_TIMEOUT_S)
            sent.raise_for_status()
