"""Stores the demo's images in the archive, and its records in a FHIR server that somebody named with ``--fhir``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import requests

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamRefused
from imaging_cds.demo_plan import DemoOptions

FILES_A_REQUEST = 20
FAILED_SOP_SEQUENCE = "00081198"
_BOUNDARY = "imaging-cds-seed"


def store_fhir(fhir_url: str, bundles: Sequence[dict[str, Any]]) -> None:
    """Sends each transaction Bundle; UpstreamRefused when the server does not take one."""
    with OutboundSession([fhir_url], timeout_s=60) as session:
        for bundle in bundles:
            response = session.post(fhir_url.rstrip("/"), json=bundle, headers={"Content-Type": "application/fhir+json"})
            _check(response, "the demo records")


def store_dicom(
    options: DemoOptions,
    files: Sequence[Path],
    progress: Callable[[str, int, int], None],
    *,
    is_given_up: Callable[[], bool] = lambda: False,
) -> None:
    """STOW-RS of these files, some at a time (PS3.18 §10.5); UpstreamRefused when the archive does not take them."""
    sent = 0
    with OutboundSession([options.dicomweb_root], timeout_s=120) as session:
        for group in _groups(files):
            if is_given_up():
                return
            response = session.post(
                f"{options.dicomweb_root}/studies",
                data=_multipart(group),
                headers={
                    "Content-Type": f'multipart/related; type="application/dicom"; boundary={_BOUNDARY}',
                    "Accept": "application/dicom+json",
                },
                auth=options.pacs_credential,
            )
            _check(response, "the demo images")
            _check_each(response)
            sent += len(group)
            progress("Storing the images in the archive", sent, len(files))


def move_to_tape(options: DemoOptions, studies: Sequence[str]) -> None:
    """Has the sandbox PACS keep them offline, as its operators would; UpstreamRefused when it does not."""
    beside = options.dicomweb_root.rpartition("/")[0]
    with OutboundSession([options.dicomweb_root], timeout_s=60) as session:
        for uid in studies:
            response = session.put(f"{beside}/tape/{uid}")
            if response.status_code != 204:
                raise UpstreamRefused(
                    f"The sandbox PACS did not take {uid} off line.", server=beside, status=response.status_code
                )


def _groups(files: Sequence[Path]) -> list[Sequence[Path]]:
    return [files[start : start + FILES_A_REQUEST] for start in range(0, len(files), FILES_A_REQUEST)]


def _multipart(files: Sequence[Path]) -> bytes:
    head = f"--{_BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join(head + path.read_bytes() + b"\r\n" for path in files) + f"--{_BOUNDARY}--\r\n".encode()


def _check_each(response: requests.Response) -> None:
    """An archive may answer 200 or 202 and still have refused some of the instances (PS3.18 §10.5.3)."""
    try:
        answer = response.json()
    except ValueError:
        return  # an archive that answers in XML after all: its status is what there is
    failed = answer.get(FAILED_SOP_SEQUENCE, {}).get("Value", []) if isinstance(answer, dict) else []
    if failed:
        raise UpstreamRefused(f"The archive refused {len(failed)} of the demo images.", server=response.url)


def _check(response: requests.Response, what: str) -> None:
    if response.status_code not in (200, 201, 202):
        raise UpstreamRefused(
            f"The server did not take {what} (HTTP {response.status_code}).", server=response.url, status=response.status_code
        )
