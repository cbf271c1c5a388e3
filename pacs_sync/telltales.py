"""Instances that are not exported: those whose pixels or documents may name the patient, and those that still do afterwards.

Spec: DICOM PS3.3 §C.7.6.1.1.5 (Burned In Annotation), PS3.15 §E.3.1 (Clean Pixel Data: not done here, so refused).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

_SCREENSHOTS = frozenset({"US", "SC", "OT", "IVUS", "ES", "XC", "GM", "SM", "OP", "DOC", "ECG", "HD"})
"""Modalities whose pictures commonly carry a name at their edge."""
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_DOCUMENTS = ("1.2.840.10008.5.1.4.1.1.104.", "1.2.840.10008.5.1.4.1.1.9.")
"""Encapsulated documents and waveforms: nothing in them can be looked through here."""
_IDENTIFYING = (
    *("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthDate", "PatientBirthName"),
    *("PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "AccessionNumber", "AdmissionID"),
    *("ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName", "InstitutionName", "StudyID"),
)
_SHORTEST = 4
"""Shorter values stand in too many texts by chance."""
_TEXT_VRS = frozenset({"AE", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})


def refusal(dataset: Dataset) -> str | None:
    """Why this instance is not exported, in words; None where nothing speaks against it."""
    sop_class = str(dataset.get("SOPClassUID") or "")
    if not sop_class:
        return "it does not say what it is (no SOP Class UID)"
    if sop_class.startswith(_DOCUMENTS):
        return f"it is a document or a waveform ({UID(sop_class).name}), which is not looked through"
    burned_in = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if burned_in == "YES":
        return "it says that text is burned into its pixels (Burned In Annotation)"
    has_pixels = any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
    modality = str(dataset.get("Modality") or "").strip().upper()
    is_screenshot = modality in _SCREENSHOTS or sop_class.startswith(_SECONDARY_CAPTURE)
    if has_pixels and is_screenshot and burned_in != "NO":
        return f"a picture of this kind ({modality or 'secondary capture'}) may have a name in its pixels and does not say NO"
    return None


def identifying_words(dataset: Dataset) -> frozenset[str]:
    """What must stand nowhere in the export: names and numbers of this instance, lower case."""
    found: set[str] = set()
    for keyword in _IDENTIFYING:
        element = dataset.data_element(keyword)
        value = None if element is None else element.value
        for one in value if isinstance(value, MultiValue) else [value]:
            text = str(one or "").strip().lower()
            # Of a person each name counts; of an institution only the whole, since its words stand in many texts.
            parts = re.split(r"[\^=\s,]+", text) if element is not None and element.VR == "PN" else [text]
            found.update(part for part in (text, *parts) if len(part) >= _SHORTEST)
    return frozenset(found)


def leftovers(dataset: Dataset, words: frozenset[str]) -> Iterator[str]:
    """The attributes, by keyword or tag, that still hold one of these words."""
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(one)}(?!\w)" for one in sorted(words))) if words else None
    if pattern is None:
        return
    for element in dataset.iterall():
        if element.VR in _TEXT_VRS and pattern.search(str(element.value).lower()):
            yield element.keyword or str(element.tag)
