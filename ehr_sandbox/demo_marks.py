"""What people and programs marked in a CT, in DICOM: the radiologist's key images and the nodule's segmentation.

Spec: DICOM PS3.16 TID 2010 (Key Object Selection), CID 7010 (document titles), PS3.3 §A.51 and §C.8.20 (Segmentation).
"""

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.color import CIELabColor
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from highdicom.sr import CodedConcept, ObserverContext, PersonObserverIdentifyingAttributes
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from ehr_sandbox.demo_ct import ct_header, put_request
from ehr_sandbox.demo_derived import DemoDerived
from ehr_sandbox.demo_sr import ALGORITHM_MAKER, ALGORITHM_NAME, ALGORITHM_VERSION, NODULE, UPPER_LOBE, requested_procedure
from ehr_sandbox.demo_study import INSTITUTION, DemoCalendar, DemoCt, uid_of

KEY_IMAGE_SLICES = (0, 1)
"""Slices of the selection, counted from the middle of the nodule."""
KEY_IMAGE_TEXT = "Growing solid nodule in the right upper lobe: 9.0 mm, was 6.0 mm a year ago."

_RADIOLOGIST = "Reader^Ruth^^Dr"
_NODULE_COLOUR = (72.0, 48.0, 62.0)  # CIELab: an orange that stands out from lung and from soft tissue


def key_object(which: DemoDerived, ct: DemoCt, calendar: DemoCalendar) -> Dataset:
    """The key images: the slice through the middle of the nodule and the one below."""
    selected = [ct_header(ct, calendar, ct.nodule_slice + offset) for offset in KEY_IMAGE_SLICES]
    content = KeyObjectSelection(
        document_title=codes.DCM.OfInterest,
        referenced_objects=selected,
        observer_person_context=ObserverContext(
            observer_type=codes.DCM.Person,
            observer_identifying_attributes=PersonObserverIdentifyingAttributes(name=_RADIOLOGIST),
        ),
        description=KEY_IMAGE_TEXT,
    )
    document: Dataset = KeyObjectSelectionDocument(
        evidence=selected,
        content=content,
        series_instance_uid=which.series_instance_uid(ct),
        series_number=which.series_number,
        sop_instance_uid=which.sop_instance_uid(ct),
        instance_number=1,
        manufacturer="Imaging CDS",
        institution_name=INSTITUTION,
        requested_procedures=[requested_procedure(ct)],
    )
    document.SeriesDescription = which.description
    return document


def segmentation(which: DemoDerived, ct: DemoCt, calendar: DemoCalendar) -> Dataset:
    """The nodule as the AI outlined it, slice by slice."""
    masks = {index: mask for index in range(ct.image_count) if (mask := _nodule_in(ct, index)).any()}
    algorithm = AlgorithmIdentificationSequence(
        name=ALGORITHM_NAME, family=codes.cid7162.ArtificialIntelligence, version=ALGORITHM_VERSION
    )
    segment = SegmentDescription(
        segment_number=1,
        segment_label="Nodule 1",
        segmented_property_category=CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure"),
        segmented_property_type=NODULE,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        # The identity that the structured report gives the same nodule.
        tracking_uid=uid_of(f"{ct.person.key}/nodule-1"),
        tracking_id="Nodule 1",
        anatomic_regions=[UPPER_LOBE],
        display_color=CIELabColor(*_NODULE_COLOUR),
    )
    made: Dataset = Segmentation(
        source_images=[ct_header(ct, calendar, index) for index in masks],
        pixel_array=np.stack(list(masks.values())),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[segment],
        series_instance_uid=which.series_instance_uid(ct),
        series_number=which.series_number,
        sop_instance_uid=which.sop_instance_uid(ct),
        instance_number=1,
        manufacturer=ALGORITHM_MAKER,
        manufacturer_model_name=ALGORITHM_NAME,
        software_versions=ALGORITHM_VERSION,
        device_serial_number="0001",
        content_label="NODULE",
        content_description="Nodule in the right upper lobe",
    )
    made.SeriesDescription = which.description
    put_request(made, ct)
    _name_dimensions(made, uid_of(f"{ct.key}/{which.name}/dimensions"))
    return made


def _nodule_in(ct: DemoCt, index: int) -> NDArray[np.uint8]:
    """Which pixels of a slice have their centre inside the nodule."""
    grid, nodule = ct.phantom.grid, ct.phantom.nodule
    across, through = nodule.long_axis_mm / 2, nodule.short_axis_mm / 2
    height = (grid.z(index) - nodule.z) / (nodule.diameter_mm / 2)
    inside = ((grid.x - nodule.x) / across) ** 2 + ((grid.y - nodule.y) / through) ** 2 + height**2 <= 1
    return inside.astype(np.uint8)


def _name_dimensions(made: Dataset, uid: str) -> None:
    """The library takes a random UID for the order of the frames; the demo's files are the same every time."""
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid
