"""Instances that are not exported: those whose pixels or documents may name the patient, and those that still do afterwards.

Spec: DICOM PS3.3 §C.7.6.1.1.5 (Burned In Annotation), PS3.15 §E.3.1 (Clean Pixel Data: not done here, so refused).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import UID

from pacs_sync.telltale_words import birth_dates, of_number, of_person, of_place, pattern_of, plain

_SCREENSHOTS = frozenset({"US", "SC", "OT", "IVUS", "ES", "XC", "GM", "SM", "OP", "DOC", "ECG", "HD", "DMS", "HC", "DG", "TG"})
"""Modalities whose pictures commonly carry a name at their edge."""
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_PICTURES = frozenset(f"{_STORAGE}{one}" for one in ("7", "6", "6.1", "6.2", "3", "3.1"))
_PICTURE_FAMILIES = tuple(f"{_STORAGE}{one}" for one in ("7.", "77."))
"""Secondary captures, ultrasound, visible light: whatever their modality says."""
_DOCUMENTS = tuple(f"{_STORAGE}{one}" for one in ("104.", "9."))
"""Encapsulated documents and waveforms: nothing in them can be looked through here."""
_CAPTURED = re.compile(r"SCREEN|CAPTURE")
_NUMBERS = frozenset(
    (
        *("PatientID", "OtherPatientIDs", "AccessionNumber", "AdmissionID", "StudyID", "MedicalRecordLocator"),
        *("PatientTelephoneNumbers", "ServiceEpisodeID", "RequestedProcedureID", "MilitaryRank"),
    )
)
_PLACES = frozenset({"InstitutionName", "PatientAddress", "InstitutionAddress"})
_OWN_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
_TEXT_VRS = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"})
_BYTE_VRS = frozenset({"OB", "OW", "UN"})
_PIXEL_GROUP = 0x7FE0
_MOST_BYTES = 1 << 20
_SHORTEST_IN_BYTES = 6
"""Shorter words stand in tables of numbers by chance."""
_NUMBERS_ONLY = re.compile(r"[\d.+\-:, \[\]']*")


def refusal(dataset: Dataset) -> str | None:
    """Why this instance is not exported, in words; None where nothing speaks against it."""
    sop_class = str(dataset.get("SOPClassUID") or "")
    if not sop_class:
        return "it does not say what it is (no SOP Class UID)"
    if not all(dataset.get(keyword) for keyword in _OWN_UIDS[:3]):
        return "it does not say which one it is (no UID of its study, its series or itself)"
    if sop_class.startswith(_DOCUMENTS) or "EncapsulatedDocument" in dataset:
        return f"it is a document or a waveform ({UID(sop_class).name}), which is not looked through"
    burned_in = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if burned_in == "YES":
        return "it says that text is burned into its pixels (Burned In Annotation)"
    has_pixels = any(keyword in dataset for keyword in ("PixelData", "FloatPixelData", "DoubleFloatPixelData"))
    modality = str(dataset.get("Modality") or "").strip().upper()
    is_picture = sop_class in _PICTURES or sop_class.startswith(_PICTURE_FAMILIES)
    is_screenshot = modality in _SCREENSHOTS or is_picture or _is_captured(dataset)
    if has_pixels and is_screenshot and burned_in != "NO":
        return f"a picture of this kind ({modality or 'secondary capture'}) may have a name in its pixels and does not say NO"
    return None


def identifying_words(dataset: Dataset) -> frozenset[str]:
    """What must stand nowhere in the export: names, numbers and dates of birth in this instance, as ``plain`` writes them."""
    found: set[str] = set()
    for element in dataset.iterall():
        for text in _values(element) if element.VR in _TEXT_VRS else ():
            if element.VR == "PN":
                found |= of_person(text)
            elif element.keyword in _NUMBERS:
                found |= of_number(text)
            elif element.keyword in _PLACES:
                found |= of_place(text)
            elif element.keyword == "PatientBirthDate":
                found |= birth_dates(text)
    return frozenset(found) | {uid for keyword in _OWN_UIDS if (uid := str(dataset.get(keyword) or ""))}


def leftovers(dataset: Dataset, words: frozenset[str]) -> Iterator[str]:
    """The attributes, by keyword or tag, that still hold one of these words."""
    pattern, in_bytes = pattern_of(words), pattern_of({one for one in words if len(one) >= _SHORTEST_IN_BYTES})
    uids = pattern_of({one for one in words if "." in one})
    dates = pattern_of({one for one in words if _NUMBERS_ONLY.fullmatch(one) and one.count(" ") == 2})
    for element in dataset.iterall():
        if element.VR in ("DA", "DT", "TM") and _NUMBERS_ONLY.fullmatch(str(element.value)):
            looked_for = dates  # a time of day may look like a number of somebody
        elif element.VR == "UI":
            looked_for = uids
        elif element.VR in _TEXT_VRS:
            looked_for = pattern
        else:
            looked_for = in_bytes
        if looked_for is not None and any(looked_for.search(plain(text)) for text in _texts(element)):
            yield element.keyword or str(element.tag)


def _is_captured(dataset: Dataset) -> bool:
    element = dataset.get("ImageType")
    return bool(_CAPTURED.search(str(element or "").upper()))


def _texts(element: DataElement) -> Iterator[str]:
    """Its values as text; of bytes that are no pixels, what they may say in the usual encodings."""
    if element.VR in _TEXT_VRS:
        yield from _values(element)
    elif element.VR in _BYTE_VRS and element.tag.group != _PIXEL_GROUP and isinstance(element.value, bytes):
        for encoding in ("utf-8", "latin-1", "utf-16-le"):
            yield element.value[:_MOST_BYTES].decode(encoding, errors="replace")


def _values(element: DataElement) -> Iterator[str]:
    value = element.value
    for one in value if isinstance(value, MultiValue | list) else [value]:
        if one is not None and str(one):
            yield str(one)
