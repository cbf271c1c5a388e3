"""Which attributes belong to a study, a series or an instance, and which a search always returns.

Spec: PS3.18 §10.6.3.3 (tables of search result attributes) and PS3.3 A.1.2 (information entities).
"""

from enum import IntEnum

from pydicom.datadict import dictionary_VR, tag_for_keyword

from ehr_sandbox.dicomweb_json import tag_text


class Level(IntEnum):
    """What a search counts and returns; a lower entity has the larger number."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


def tag_of(keyword: str) -> str:
    """The tag of a keyword of the data dictionary; KeyError when the dictionary does not know it."""
    tag = tag_for_keyword(keyword)
    if tag is None:
        raise KeyError(keyword)
    return tag_text(tag)


def vr_of(tag: str) -> str:
    """The VR that the dictionary gives a tag; ``UN`` for a private or unknown one."""
    try:
        return dictionary_VR(int(tag, 16))
    except KeyError:
        return "UN"


def _tags(*keywords: str) -> frozenset[str]:
    return frozenset(tag_of(keyword) for keyword in keywords)


SPECIFIC_CHARACTER_SET = tag_of("SpecificCharacterSet")
STUDY_INSTANCE_UID = tag_of("StudyInstanceUID")
SERIES_INSTANCE_UID = tag_of("SeriesInstanceUID")
SOP_INSTANCE_UID = tag_of("SOPInstanceUID")
SOP_CLASS_UID = tag_of("SOPClassUID")
PATIENT_ID = tag_of("PatientID")
MODALITY = tag_of("Modality")
MODALITIES_IN_STUDY = tag_of("ModalitiesInStudy")
SOP_CLASSES_IN_STUDY = tag_of("SOPClassesInStudy")
NUMBER_OF_STUDY_RELATED_SERIES = tag_of("NumberOfStudyRelatedSeries")
NUMBER_OF_STUDY_RELATED_INSTANCES = tag_of("NumberOfStudyRelatedInstances")
NUMBER_OF_SERIES_RELATED_INSTANCES = tag_of("NumberOfSeriesRelatedInstances")
INSTANCE_AVAILABILITY = tag_of("InstanceAvailability")
RETRIEVE_URL = tag_of("RetrieveURL")
AVAILABLE_TRANSFER_SYNTAX_UID = tag_of("AvailableTransferSyntaxUID")

LEVEL_ATTRIBUTES: dict[Level, frozenset[str]] = {
    Level.STUDY: _tags(
        *["SpecificCharacterSet", "StudyDate", "StudyTime", "AccessionNumber", "IssuerOfAccessionNumberSequence"],
        *[
            "ReferringPhysicianName",
            "ConsultingPhysicianName",
            "TimezoneOffsetFromUTC",
            "StudyDescription",
            "ProcedureCodeSequence",
        ],
        *["PhysiciansOfRecord", "NameOfPhysiciansReadingStudy", "RequestingService", "ReferencedStudySequence"],
        *["AdmittingDiagnosesDescription", "AdmittingDiagnosesCodeSequence", "PatientName", "PatientID"],
        *["IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "TypeOfPatientID", "PatientBirthDate"],
        *["PatientBirthTime", "PatientSex", "OtherPatientIDsSequence", "OtherPatientNames", "PatientAge", "PatientSize"],
        *["PatientWeight", "EthnicGroup", "Occupation", "PatientComments", "AdditionalPatientHistory"],
        *["ResponsiblePerson", "PatientSpeciesDescription", "AdmissionID", "StudyInstanceUID", "StudyID"],
    ),
    Level.SERIES: _tags(
        *["Modality", "SeriesDate", "SeriesTime", "SeriesDescription", "SeriesDescriptionCodeSequence"],
        *["SeriesInstanceUID", "SeriesNumber", "Laterality", "BodyPartExamined", "ProtocolName", "Manufacturer"],
        *["ManufacturerModelName", "StationName", "InstitutionName", "InstitutionalDepartmentName"],
        *["PerformingPhysicianName", "OperatorsName", "DeviceSerialNumber", "SoftwareVersions"],
        *["PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime", "PerformedProcedureStepID"],
        *["PerformedProcedureStepDescription", "RequestAttributesSequence", "FrameOfReferenceUID"],
        *["PatientPosition", "ReferencedPerformedProcedureStepSequence"],
    ),
    Level.INSTANCE: frozenset(),
}
"""The attributes kept once per entity; all others belong to the instance."""

COMPUTED_ATTRIBUTES: dict[Level, frozenset[str]] = {
    Level.STUDY: frozenset(
        {
            MODALITIES_IN_STUDY,
            SOP_CLASSES_IN_STUDY,
            NUMBER_OF_STUDY_RELATED_SERIES,
            NUMBER_OF_STUDY_RELATED_INSTANCES,
        }
    ),
    Level.SERIES: frozenset({NUMBER_OF_SERIES_RELATED_INSTANCES}),
    Level.INSTANCE: frozenset({AVAILABLE_TRANSFER_SYNTAX_UID}),
}
"""What the archive knows about an entity and no file says."""

REQUIRED_ATTRIBUTES: dict[Level, frozenset[str]] = {
    Level.STUDY: _tags(
        *["StudyDate", "StudyTime", "AccessionNumber", "ModalitiesInStudy", "ReferringPhysicianName", "PatientName"],
        *["PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyID"],
        *["NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances"],
    ),
    Level.SERIES: _tags(*["Modality", "SeriesInstanceUID", "SeriesNumber", "NumberOfSeriesRelatedInstances"]),
    Level.INSTANCE: _tags(*["SOPClassUID", "SOPInstanceUID", "InstanceNumber", "AvailableTransferSyntaxUID"]),
}
"""Always returned, empty when the archive does not know them."""

CONDITIONAL_ATTRIBUTES: dict[Level, frozenset[str]] = {
    Level.STUDY: _tags("SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyDescription"),
    Level.SERIES: _tags(
        *["SpecificCharacterSet", "TimezoneOffsetFromUTC", "SeriesDescription", "StudyInstanceUID", "SeriesDate"],
        *["SeriesTime", "PerformedProcedureStepStartDate", "PerformedProcedureStepStartTime"],
        *["RequestAttributesSequence", "BodyPartExamined"],
    ),
    Level.INSTANCE: _tags(
        *["SpecificCharacterSet", "TimezoneOffsetFromUTC", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"],
        *["BitsAllocated", "NumberOfFrames"],
    ),
}
"""Returned without being asked for where the archive has a value."""


def level_of(tag: str) -> Level:
    """The entity that an attribute belongs to; whatever is not of a study or series is the instance's."""
    for level in (Level.STUDY, Level.SERIES):
        if tag in LEVEL_ATTRIBUTES[level] or tag in COMPUTED_ATTRIBUTES[level]:
            return level
    return Level.INSTANCE
