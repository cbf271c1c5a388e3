"""The demo's mammographies: which views they have and how they are named."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ehr_sandbox.demo_study import Coding, DemoExamination, uid_of
from ehr_sandbox.phantom_breast import BreastPhantom, Side, View


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoMammogram(DemoExamination):
    """A mammography of both breasts: craniocaudal, then mediolateral oblique, right before left, one series."""

    modality: ClassVar[str] = "MG"
    sop_class: ClassVar[str] = "1.2.840.10008.5.1.4.1.1.1.2"
    projections: ClassVar[tuple[tuple[Side, View], ...]] = (("R", "CC"), ("L", "CC"), ("R", "MLO"), ("L", "MLO"))

    phantom: BreastPhantom

    @property
    def image_count(self) -> int:
        """Four: two views of two breasts."""
        return len(self.projections)

    @property
    def series_description(self) -> str:
        """Standard views."""
        return "Mammography, CC and MLO"

    @property
    def body_site(self) -> Coding:
        """The breast."""
        return Coding(system="http://snomed.info/sct", code="76752008", display="Breast")

    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of a view."""
        side, view = self.projections[index]
        return uid_of(f"{self.key}/mg/{side}{view}")

    def shortened(self, slices: int | None) -> Self:
        """The same views with a coarse matrix: there are too few to leave any out."""
        if slices is None:
            return self
        few = replace(self.phantom, columns=200, rows=250, pixel_spacing=0.88)
        return replace(self, phantom=few)
