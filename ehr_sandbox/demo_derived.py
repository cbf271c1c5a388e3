"""Series of the demo that were derived from images, one object each: the AI's result, the key images, the segmentation."""

from dataclasses import dataclass

from ehr_sandbox.demo_study import DemoCt, DemoExamination, uid_of

_AI_MINUTES_AFTER_SCAN = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoDerived:
    """A derived series of one object. `name` is the stem of its file and the label of its UIDs."""

    name: str
    modality: str
    series_number: int
    description: str
    minutes_after_scan: int
    sop_class: str

    def series_instance_uid(self, ct: DemoExamination) -> str:
        """(0020,000E)"""
        return uid_of(f"{ct.key}/{self.name}")

    def sop_instance_uid(self, ct: DemoExamination) -> str:
        """(0008,0018)"""
        return uid_of(f"{ct.key}/{self.name}/1")


AI_RESULT = DemoDerived(
    name="ai-sr",
    modality="SR",
    series_number=100,
    description="AI lung nodule result",
    minutes_after_scan=_AI_MINUTES_AFTER_SCAN,
    sop_class="1.2.840.10008.5.1.4.1.1.88.33",
)
SEGMENTATION = DemoDerived(
    name="nodule-seg",
    modality="SEG",
    series_number=101,
    description="AI lung nodule segmentation",
    minutes_after_scan=_AI_MINUTES_AFTER_SCAN,
    sop_class="1.2.840.10008.5.1.4.1.1.66.4",
)
KEY_IMAGES = DemoDerived(
    name="key-images",
    modality="KO",
    series_number=200,
    description="Key images of the radiologist",
    minutes_after_scan=170,
    sop_class="1.2.840.10008.5.1.4.1.1.88.59",
)


def derived_series(examination: DemoExamination) -> tuple[DemoDerived, ...]:
    """The derived series of an examination, in the order of their numbers."""
    if not isinstance(examination, DemoCt):
        return ()
    ai = (AI_RESULT,) if examination.with_ai_report else ()
    return (*ai, SEGMENTATION, KEY_IMAGES) if examination.with_marks else ai
