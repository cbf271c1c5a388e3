"""The AI's result in DICOM: a TID 1500 Comprehensive SR with one measured nodule.

Two-dimensional coordinates on the slice, because viewers draw those on the image at once; the ellipse is parallel to the
image's axes (OHIF 3 leaves oblique ones out). The report names an image library (OHIF 3 fails without one).
Spec: DICOM PS3.16 TID 1500, 1410, 4019; PS3.3 §C.18.6 (spatial coordinates: 0.5 is the centre of the first pixel).
"""

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    ComprehensiveSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForRegion,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ehr_sandbox.demo_ct import ct_header
from ehr_sandbox.demo_derived import DemoDerived
from ehr_sandbox.demo_study import DemoCalendar, DemoCt, uid_of

ALGORITHM_NAME, ALGORITHM_VERSION, ALGORITHM_MAKER = "Demo Nodule AI", "1.0", "Imaging CDS"
# Private schemes: PS3.16 has neither Lung-RADS nor a nodule's type; the synchronisation is told their FHIR code systems.
LUNG_RADS_SCHEME, LUNG_RADS_VERSION = "99IMAGINGCDS", "2022"
NODULE_SCHEME = "99IMAGINGNODULE"

_MILLIMETRE = CodedConcept(value="mm", scheme_designator="UCUM", meaning="millimeter")
_LUNG_RADS = CodedConcept(
    value="1362105002", scheme_designator="SCT", meaning="Lung Imaging Reporting and Data System category"
)
NODULE = CodedConcept(value="27925004", scheme_designator="SCT", meaning="Nodule")
UPPER_LOBE = CodedConcept(value="45653009", scheme_designator="SCT", meaning="Upper lobe of lung")
_RIGHT = CodedConcept(value="24028007", scheme_designator="SCT", meaning="Right")
_ATTENUATION = CodedConcept(value="attenuation", scheme_designator=NODULE_SCHEME, meaning="Attenuation")
_SOLID = CodedConcept(value="solid", scheme_designator=NODULE_SCHEME, meaning="Solid")
_CHANGE = CodedConcept(value="change", scheme_designator=NODULE_SCHEME, meaning="Change since the previous examination")
_BASELINE = CodedConcept(value="baseline", scheme_designator=NODULE_SCHEME, meaning="First examination")
_DIAMETER = CodedConcept(value="81827009", scheme_designator="SCT", meaning="Diameter")
_MEAN = CodedConcept(value="373098007", scheme_designator="SCT", meaning="Mean")
_LONG_AXIS = CodedConcept(value="103339001", scheme_designator="SCT", meaning="Long Axis")
_SHORT_AXIS = CodedConcept(value="103340004", scheme_designator="SCT", meaning="Short Axis")


def ai_report(which: DemoDerived, ct: DemoCt, calendar: DemoCalendar, lung_rads: str) -> Dataset:
    """The structured report with the category that the AI claims; unverified, its evidence is the nodule's slice.

    Its dates are the library's; the caller sets the story's.
    """
    evidence = ct_header(ct, calendar, ct.nodule_slice)
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer()),
        procedure_reported=CodedConcept(ct.procedure.code, ct.procedure.dicom_scheme, ct.procedure.display),
        imaging_measurements=[_measured_nodule(ct, evidence, lung_rads)],
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=[evidence],
    )
    document: Dataset = ComprehensiveSR(
        evidence=[evidence],
        content=report[0],
        series_instance_uid=which.series_instance_uid(ct),
        series_number=which.series_number,
        sop_instance_uid=which.sop_instance_uid(ct),
        instance_number=1,
        manufacturer=ALGORITHM_MAKER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        requested_procedures=[requested_procedure(ct)],
        series_description=which.description,
    )
    return document


def _observer() -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=uid_of("demo-nodule-ai"),
            name=ALGORITHM_NAME,
            manufacturer_name=ALGORITHM_MAKER,
            model_name=f"{ALGORITHM_NAME} {ALGORITHM_VERSION}",
        ),
    )


def _measured_nodule(ct: DemoCt, evidence: Dataset, lung_rads: str) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    nodule = ct.phantom.nodule
    sizes = (
        (_DIAMETER, nodule.diameter_mm, _MEAN),
        (_LONG_AXIS, nodule.long_axis_mm, None),
        (_SHORT_AXIS, nodule.short_axis_mm, None),
    )
    algorithm = AlgorithmIdentification(name=ALGORITHM_NAME, version=ALGORITHM_VERSION, manufacturer=ALGORITHM_MAKER)
    category = CodedConcept(
        value=lung_rads,
        scheme_designator=LUNG_RADS_SCHEME,
        meaning=f"Lung-RADS {lung_rads}",
        scheme_version=LUNG_RADS_VERSION,
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        # The same nodule keeps its identity from one examination to the next.
        tracking_identifier=TrackingIdentifier(uid=uid_of(f"{ct.person.key}/nodule-1"), identifier="Nodule 1"),
        referenced_region=ImageRegion(
            graphic_type=GraphicTypeValues.ELLIPSE,
            graphic_data=_outline(ct),
            source_image=SourceImageForRegion.from_source_image(evidence),
        ),
        finding_type=NODULE,
        algorithm_id=algorithm,
        finding_sites=[FindingSite(anatomic_location=UPPER_LOBE, laterality=_RIGHT)],
        measurements=[
            Measurement(name=name, value=round(size, 1), unit=_MILLIMETRE, derivation=derivation)
            for name, size, derivation in sizes
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(name=_LUNG_RADS, value=category),
            QualitativeEvaluation(name=_ATTENUATION, value=_SOLID),
            # The program does not look at earlier examinations.
            QualitativeEvaluation(name=_CHANGE, value=_BASELINE),
        ],
    )


def _outline(ct: DemoCt) -> np.ndarray:
    """End points of the long (left to right) and then the short axis as (column, row)."""
    grid, nodule = ct.phantom.grid, ct.phantom.nodule
    column, row = grid.column_of(nodule.x) + 0.5, grid.row_of(nodule.y) + 0.5
    a, b = nodule.long_axis_mm / 2 / grid.pixel_spacing, nodule.short_axis_mm / 2 / grid.pixel_spacing
    return np.array([[column - a, row], [column + a, row], [column, row - b], [column, row + b]])


def requested_procedure(ct: DemoCt) -> Dataset:
    """What was asked for, as an item of ReferencedRequestSequence."""
    request = Dataset()
    request.StudyInstanceUID = ct.study_instance_uid
    request.ReferencedStudySequence = []
    request.AccessionNumber = ct.accession
    request.PlacerOrderNumberImagingServiceRequest = ""
    request.FillerOrderNumberImagingServiceRequest = ""
    request.RequestedProcedureID = ct.accession
    request.RequestedProcedureDescription = ct.description
    request.RequestedProcedureCodeSequence = []
    request.ReasonForTheRequestedProcedure = ct.reason
    return request
