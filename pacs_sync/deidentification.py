"""One DICOM instance without what tells whose it is, by the Basic Profile's table, with two of its options.

Which attribute is removed, emptied, replaced or mapped is taken from the table that ``dicom-anonymizer`` carries; how it is
done is here, since that library keeps UIDs for one process only, leaves structured reports as they are, and says nowhere in the
file what it did.

What this does not do stands in ``NOT_DONE`` and goes with every export. Nothing here claims conformance to anything.

Spec: DICOM PS3.15 Annex E (Table E.1-1 and its actions D, Z, X, U, K), PS3.3 §C.12.1.1.9 (De-identification Method).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag, Tag

from pacs_sync.pseudonyms import Pseudonyms
from pacs_sync.scrubbed_report import scrub_content

METHOD = "PS3.15 Basic Profile by imaging-cds"
TABLE = "dicomfields_2026c"
"""The edition of Table E.1-1 that is used."""
NOT_DONE = (
    "Pixels are not looked at: text that is burned into an image stays in it. Ultrasound, secondary captures and other images "
    "that do not say that they have none are refused, what says so wrongly is not found out.",
    "Faces are not removed from images of the head: a volume can be rendered as one.",
    "Structured reports keep their codes, numbers and geometry; their texts and names are replaced. A rare finding may tell "
    "whose it is all the same.",
    "Private attributes, overlays and curves are removed; scanner data in them are lost.",
    "Who has the key of this installation can find out which patient and study an export stands for.",
    "Nobody has validated this against a reference set, and no conformance is claimed. Look through what you give away.",
)


class Action(StrEnum):
    """What becomes of an attribute (PS3.15 Table E.1-1a; of alternatives the stricter one that keeps the object valid)."""

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    MAP_UID = "U"
    KEEP = "K"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Which of the profile's options are taken."""

    retain_dates: bool = False
    """Retain Longitudinal Temporal Information with Full Dates: dates and times of the examination stay, of the person not."""
    retain_device: bool = False
    """Retain Device Identity: serial numbers and names of the equipment stay."""


_BY_CATEGORY = {
    "D_TAGS": Action.REPLACE,
    "Z_TAGS": Action.EMPTY,
    "X_TAGS": Action.REMOVE,
    "U_TAGS": Action.MAP_UID,
    "Z_D_TAGS": Action.REPLACE,
    "X_Z_TAGS": Action.EMPTY,
    "X_D_TAGS": Action.REPLACE,
    "X_Z_D_TAGS": Action.REPLACE,
    # Sequences of references: their UIDs are mapped, and what they point at stays found.
    "X_Z_U_STAR_TAGS": Action.KEEP,
}
_DEVICE_KEYWORDS = (
    *("StationName", "DeviceSerialNumber", "DeviceUID", "PlateID", "GeneratorID", "CassetteID", "GantryID", "DetectorID"),
    *("XRaySourceID", "ScheduledStationName", "ScheduledStationAETitle", "PerformedStationName", "PerformedStationAETitle"),
    *("PerformedStationNameCodeSequence", "ScheduledStationNameCodeSequence", "ScheduledStudyLocation"),
    *(
        "TransducerIdentificationSequence",
        "UDISequence",
        "UniqueDeviceIdentifier",
        "DeviceDescription",
        "LensMake",
        "SourceSerialNumber",
    ),
)
_FREE_TEXT_KEYWORDS = ("TrackingID", "ContentDescription", "ImageComments", "FrameComments")
"""Words of people that the table leaves or removes only in some editions."""
_ISSUER_KEYWORDS = (
    *("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "IssuerOfAccessionNumberSequence"),
    *("OrderPlacerIdentifierSequence", "OrderFillerIdentifierSequence"),
)
"""Whose numbers they were: the table leaves some of them, though they name the institution."""
_TEMPORAL_VRS = frozenset({"DA", "TM", "DT"})
_DUMMIES: Mapping[str, Any] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), "REMOVED"),
    **dict.fromkeys(("DS", "IS"), "0"),
    **dict.fromkeys(("FD", "FL", "SS", "US", "SL", "UL", "SV", "UV"), 0),
    **dict.fromkeys(("OB", "OW", "UN", "OD", "OF", "OL", "OV"), b"\0\0"),
    "AS": "000Y",
    "DA": "00010101",
    "DT": "00010101000000",
    "TM": "000000",
    "UR": "http://removed.invalid",
}


class Deidentifier:
    """Works on data sets in place; one of them for a whole export. ``issuer`` belongs to the patients' numbers."""

    def __init__(self, pseudonyms: Pseudonyms, options: Options) -> None:
        self._pseudonyms = pseudonyms
        self._options = options
        self._actions = table()
        self._devices = _device_tags() if options.retain_device else frozenset()

    def apply(self, dataset: Dataset) -> Dataset:
        """The instance without its identity, in place; its file meta information is made anew.

        Its patient's number and name become a pseudonym. Texts of a structured report are replaced.
        """
        number, issuer = str(dataset.get("PatientID") or ""), str(dataset.get("IssuerOfPatientID") or "")
        pseudonym = self._pseudonyms.patient(number, issuer) if number else ""
        is_report = "ContentSequence" in dataset
        dataset.remove_private_tags()
        self._walk(dataset)
        if is_report:
            scrub_content(dataset, self._pseudonyms, keeps_dates=self._options.retain_dates)
        dataset.PatientID, dataset.PatientName = pseudonym, pseudonym
        self._say_what_was_done(dataset, is_report=is_report)
        self._renew_meta(dataset)
        return dataset

    def _walk(self, dataset: Dataset) -> None:
        for tag in list(dataset.keys()):
            action = self._action(tag, dataset)
            if action is Action.REMOVE:
                del dataset[tag]
                continue
            element = dataset[tag]
            if element.VR == "SQ":
                self._sequence(dataset, element, action)
            elif element.VR == "UI":
                _map(element, self._pseudonyms.uid)
            elif action is Action.REPLACE:
                element.value = _dummy(element)
            elif action is Action.EMPTY:
                element.value = _dummy(element) if element.VR in _TEMPORAL_VRS else element.empty_value

    def _sequence(self, dataset: Dataset, element: DataElement, action: Action) -> None:
        if action is Action.EMPTY:
            element.value = Sequence()
            return
        for item in element.value or ():
            if action is Action.REPLACE and element.keyword != "ContentSequence":
                _replace_all(item)
            self._walk(item)

    def _action(self, tag: BaseTag, dataset: Dataset) -> Action:
        """What becomes of it; what no dictionary knows goes, since nobody can say what it holds."""
        if tag in self._devices:
            return Action.KEEP
        if tag.group & 0xFF00 == 0x5000 or (tag.group & 0xFF00 == 0x6000):
            return Action.REMOVE
        found = self._actions.get(tag)
        if found is None:
            return Action.KEEP if dictionary_has_tag(tag) else Action.REMOVE
        # Dates of the person (group 0010) are not those of the examination.
        is_temporal = self._options.retain_dates and tag.group != 0x0010 and dataset[tag].VR in _TEMPORAL_VRS
        is_zone = self._options.retain_dates and tag == 0x00080201
        return Action.KEEP if is_temporal or is_zone else found

    def _say_what_was_done(self, dataset: Dataset, *, is_report: bool) -> None:
        dataset.PatientIdentityRemoved = "YES"
        dataset.DeidentificationMethod = METHOD
        codes = [("113100", "Basic Application Confidentiality Profile")]
        if is_report:
            codes.append(("113104", "Clean Structured Content Option"))
        if self._options.retain_dates:
            codes.append(("113106", "Retain Longitudinal Temporal Information Full Dates Option"))
        if self._options.retain_device:
            codes.append(("113109", "Retain Device Identity Option"))
        kept = "UNMODIFIED" if self._options.retain_dates else "REMOVED"
        dataset.LongitudinalTemporalInformationModified = kept
        dataset.DeidentificationMethodCodeSequence = Sequence([_code(*one) for one in codes])

    def _renew_meta(self, dataset: Dataset) -> None:
        """Its old one may name applications and hosts, and the preamble may hold anything."""
        old = getattr(dataset, "file_meta", None)
        meta = FileMetaDataset()
        if old is not None and "TransferSyntaxUID" in old:
            meta.TransferSyntaxUID = old.TransferSyntaxUID
        meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta = meta
        dataset.preamble = b"\0" * 128


@cache
def table() -> Mapping[BaseTag, Action]:
    """Table E.1-1 of the Basic Profile without its ranges (overlays and curves, which all go)."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    categories = dicom_anonymization_database_selector(TABLE)
    known = {Tag(tag): action for name, action in _BY_CATEGORY.items() for tag in categories[name] if len(tag) == 2}
    ours = dict.fromkeys(_FREE_TEXT_KEYWORDS, Action.REPLACE) | dict.fromkeys(_ISSUER_KEYWORDS, Action.REMOVE)
    return known | {Tag(keyword): action for keyword, action in ours.items()}


@cache
def _device_tags() -> frozenset[BaseTag]:
    return frozenset(Tag(keyword) for keyword in _DEVICE_KEYWORDS)


def _dummy(element: DataElement) -> Any:
    return _DUMMIES.get(element.VR, element.empty_value)


def _replace_all(item: Dataset) -> None:
    """Every value inside a sequence that is to be replaced, at any depth; UIDs are mapped by the walk that follows."""
    for element in item:
        if element.VR == "SQ":
            for inner in element.value or ():
                _replace_all(inner)
        elif element.VR != "UI":
            element.value = _dummy(element)


def _map(element: DataElement, mapped: Callable[[str], str]) -> None:
    value = element.value
    if isinstance(value, MultiValue | list):
        element.value = [mapped(str(one)) for one in value]
    elif value:
        element.value = mapped(str(value))


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item
