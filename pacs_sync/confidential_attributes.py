"""What becomes of an attribute in a de-identified export: the Basic Profile's table, and what it leaves to whoever uses it.

The table names attributes one by one; new and retired ones, free text of less usual objects, addresses of servers and keys of
printers are not in it. Whatever may hold words of people or dates goes here too.

Spec: DICOM PS3.15 Annex E (Table E.1-1 and its actions D, Z, X, U, K), PS3.6 (data dictionary).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from pydicom.datadict import dictionary_has_tag, keyword_for_tag
from pydicom.tag import BaseTag, Tag

TABLE = "dicomfields_2026c"
"""The edition of Table E.1-1 that is used."""
TEMPORAL_VRS = frozenset({"DA", "TM", "DT"})
_GROUPS_OF_FILES_AND_MESSAGES = (0x0000, 0x0002)
_PATIENT_GROUP = 0x0010
_TIMEZONE = 0x00080201


class Action(StrEnum):
    """What becomes of an attribute (PS3.15 Table E.1-1a; of alternatives the stricter one that keeps the object valid)."""

    REMOVE = "X"
    EMPTY = "Z"
    REPLACE = "D"
    LABEL = "D, the same for the same"
    """A label that says nothing and is equal wherever the words were equal, so that parts can still be told apart."""
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
# Of the option's attributes not ScheduledStudyLocation, which names a place and no device, nor descriptions by people.
_DEVICE_KEYWORDS = (
    *("StationName", "DeviceSerialNumber", "DeviceUID", "PlateID", "GeneratorID", "CassetteID", "GantryID", "DetectorID"),
    *("XRaySourceID", "ScheduledStationName", "ScheduledStationAETitle", "PerformedStationName", "PerformedStationAETitle"),
    *("PerformedStationNameCodeSequence", "ScheduledStationNameCodeSequence", "TransducerIdentificationSequence"),
    *("UDISequence", "UniqueDeviceIdentifier", "LensMake", "SourceSerialNumber"),
)
_OURS = {
    **dict.fromkeys(("ContentDescription", "ImageComments", "FrameComments"), Action.REPLACE),
    "TrackingID": Action.LABEL,
    # Whose numbers they were: they name the institution.
    **dict.fromkeys(("IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence"), Action.REMOVE),
    **dict.fromkeys(("IssuerOfAccessionNumberSequence",), Action.REMOVE),
    **dict.fromkeys(("OrderPlacerIdentifierSequence", "OrderFillerIdentifierSequence"), Action.REMOVE),
    **dict.fromkeys(("PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar"), Action.REMOVE),
    # What nobody here can look into.
    **dict.fromkeys(("EncryptedAttributesSequence", "EncryptedContent", "Signature", "HPGLDocument"), Action.REMOVE),
    **dict.fromkeys(("RecordKey", "PriorRecordKey", "ObjectBinaryIdentifierTrial"), Action.REMOVE),
    **dict.fromkeys(("PlacerOrderNumberProcedure", "FillerOrderNumberProcedure"), Action.EMPTY),
    "PlacerOrderNumberImagingServiceRequestRetired": Action.EMPTY,
    "FillerOrderNumberImagingServiceRequestRetired": Action.EMPTY,
    **dict.fromkeys(("HangingProtocolCreator", "HangingProtocolUserGroupName", "ContactDisplayName"), Action.REPLACE),
    **dict.fromkeys(("OwnerID", "PrinterName", "PrintQueueID", "PrintJobID", "FilmSessionLabel"), Action.EMPTY),
    **dict.fromkeys(("BoardingPassID", "ItineraryID", "ItineraryIDAssigningAuthority", "CarrierID"), Action.EMPTY),
    **dict.fromkeys(("AssignedLocation", "RouteIDAssigningAuthority", "NTPSourceAddress", "ImageID"), Action.EMPTY),
    **dict.fromkeys(("DeviceID", "GridID", "RadiationMachineName", "BreedRegistrationNumber"), Action.EMPTY),
    **dict.fromkeys(("CodingSchemeResponsibleOrganization", "CodingSchemeExternalID", "DataSetSource"), Action.EMPTY),
    # Content items are looked at one by one (scrubbed_report).
    "TextValue": Action.KEEP,
    **dict.fromkeys(("LongCodeValue", "URNCodeValue"), Action.KEEP),
}
_WORDS_OF_PEOPLE = re.compile(r"(Description|Explanation|Comment|Comments|Notes|Text)\Z")
_LABELS = re.compile(r"Label\Z")
_OF_PEOPLE_AND_TIMES = frozenset({"PN", "LT", "ST", "UT", "UC", "UR"}) | TEMPORAL_VRS


@cache
def table() -> Mapping[BaseTag, Action]:
    """Table E.1-1 of the Basic Profile without its ranges (overlays and curves, which all go), with what is added here."""
    from dicomanonymizer.dicomfields_selector import dicom_anonymization_database_selector

    categories = dicom_anonymization_database_selector(TABLE)
    known = {Tag(tag): action for name, action in _BY_CATEGORY.items() for tag in categories[name] if len(tag) == 2}
    return known | {Tag(keyword): action for keyword, action in _OURS.items()}


@cache
def device_tags() -> frozenset[BaseTag]:
    """What the option Retain Device Identity keeps."""
    return frozenset(Tag(keyword) for keyword in _DEVICE_KEYWORDS)


def action_for(tag: BaseTag, vr: str, options: Options) -> Action:
    """What becomes of an attribute of this tag and value representation; what no dictionary knows goes."""
    if vr == "UN" or not dictionary_has_tag(tag) or tag.group in _GROUPS_OF_FILES_AND_MESSAGES:
        return Action.REMOVE  # nobody can say what it holds
    if options.retain_device and tag in device_tags():
        return Action.KEEP
    if options.retain_dates and _is_of_the_examination(tag, vr):
        return Action.KEEP
    return table().get(tag) or _unlisted(tag, vr)


def _is_of_the_examination(tag: BaseTag, vr: str) -> bool:
    """Dates of the person (their group) are not those of the examination."""
    return tag == _TIMEZONE or (vr in TEMPORAL_VRS and tag.group != _PATIENT_GROUP)


def _unlisted(tag: BaseTag, vr: str) -> Action:
    if vr in _OF_PEOPLE_AND_TIMES:
        return Action.REPLACE
    keyword = keyword_for_tag(tag) if vr in ("LO", "SH") else ""
    if _WORDS_OF_PEOPLE.search(keyword):
        return Action.REPLACE
    return Action.LABEL if _LABELS.search(keyword) else Action.KEEP
