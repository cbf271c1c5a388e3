"""One DICOM instance without what tells whose it is, by the Basic Profile's table, with two of its options.

Which attribute is removed, emptied, replaced or mapped is taken from the table that ``dicom-anonymizer`` carries; how it is
done is here, since that library keeps UIDs for one process only, leaves structured reports as they are, and says nowhere in the
file what it did.

What this does not do stands in ``NOT_DONE`` and goes with every export. Nothing here claims conformance to anything.

Spec: DICOM PS3.15 Annex E (Table E.1-1 and its actions D, Z, X, U, K), PS3.3 §C.12.1.1.9 (De-identification Method).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from pacs_sync.confidential_attributes import TEMPORAL_VRS, Action, Options, action_for
from pacs_sync.pseudonyms import Pseudonyms
from pacs_sync.scrubbed_report import FINDING, scrub_item

METHOD = "PS3.15 Basic Profile by imaging-cds"
NOT_DONE = (
    "Pixels are not looked at: text that is burned into an image stays in it. Ultrasound, secondary captures and other images "
    "that do not say that they have none are refused, what says so wrongly is not found out, nor what a compressed image "
    "carries beside its pixels.",
    "Faces are not removed from images of the head: a volume can be rendered as one.",
    "Structured reports keep their codes, numbers and geometry; their texts and names are replaced. A rare finding may tell "
    "whose it is all the same.",
    "Private attributes, overlays and curves are removed; scanner data in them are lost.",
    "Codes stay as they are, but for the words of the site's own. The last look knows the names and numbers of this very "
    "instance; of names with fewer than four letters only first and last name together.",
    "Who has the key of this installation can find out which patient and study an export stands for.",
    "Nobody has validated this against a reference set, and no conformance is claimed. Look through what you give away.",
)


_NUMERIC_VRS = frozenset({"DS", "IS"}) | TEMPORAL_VRS
_NUMBERS = re.compile(r"[\d.+\-:, \[\]'Ee]*|None")
LABELS: Mapping[str, str] = {"TrackingID": FINDING}
"""Kinds of labels by attribute: a segment and a report say the same of the same finding."""
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
        self._issuers: dict[tuple[str, str], str] = {}

    def apply(self, dataset: Dataset) -> Dataset:
        """The instance without its identity, in place; its file meta information is made anew.

        Its patient's number and name become a pseudonym. Texts of a structured report are replaced.
        """
        number = str(dataset.get("PatientID") or "")
        pseudonym = self._pseudonyms.patient(number, self._issuer(dataset, number)) if number else ""
        is_report = "ContentSequence" in dataset
        dataset.remove_private_tags()
        self._walk(dataset)
        dataset.PatientID, dataset.PatientName = pseudonym, pseudonym
        self._say_what_was_done(dataset, is_report=is_report)
        self._renew_meta(dataset)
        return dataset

    def _issuer(self, dataset: Dataset, number: str) -> str:
        """Whose number it is; what leaves that out (AI results often do) means the same person as the rest of its study."""
        stated = str(dataset.get("IssuerOfPatientID") or "").strip()
        known = self._issuers.setdefault((str(dataset.get("StudyInstanceUID")), number), stated)
        return stated if stated and known else known

    def uid(self, uid: str) -> str:
        """What an instance's, series' or study's UID becomes."""
        return self._pseudonyms.uid(uid)

    def _walk(self, dataset: Dataset) -> None:
        scrub_item(dataset, self._pseudonyms, keeps_dates=self._options.retain_dates)
        for tag in list(dataset.keys()):
            # Overlays and curves are repeating groups, most of which no dictionary lists.
            is_graphic = tag.group & 0xFF00 in (0x5000, 0x6000)
            action = Action.REMOVE if is_graphic else action_for(tag, dataset[tag].VR, self._options)
            if action is Action.REMOVE:
                del dataset[tag]
            else:
                self._change(dataset[tag], action)

    def _change(self, element: DataElement, action: Action) -> None:
        if element.VR == "SQ":
            self._sequence(element, action)
        elif element.VR == "UI":
            _map(element, self._pseudonyms.uid)
        elif action is Action.LABEL:
            _map(element, lambda text: self._pseudonyms.label(LABELS.get(element.keyword, "Label"), text))
        elif action is Action.REPLACE:
            element.value = _dummy(element)
        elif action is Action.EMPTY:
            element.value = _dummy(element) if element.VR in TEMPORAL_VRS else element.empty_value
        elif element.VR in _NUMERIC_VRS and not _NUMBERS.fullmatch(str(element.value)):
            element.value = _dummy(element)  # words in place of a number or a date

    def _sequence(self, element: DataElement, action: Action) -> None:
        if action is Action.EMPTY:
            element.value = Sequence()
            return
        for item in element.value or ():
            if action is Action.REPLACE and element.keyword != "ContentSequence":
                _replace_all(item)
            self._walk(item)

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
