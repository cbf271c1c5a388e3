"""The demo's chest radiographs: one view in one series."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ehr_sandbox.demo_study import CHEST, Coding, DemoExamination, uid_of
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRadiograph(DemoExamination):
    """A chest radiograph of a patient in bed: one anteroposterior view."""

    modality: ClassVar[str] = "DX"
    sop_class: ClassVar[str] = "1.2.840.10008.5.1.4.1.1.1.1"
    view: ClassVar[str] = "AP"

    phantom: ChestRadiographPhantom

    @property
    def image_count(self) -> int:
        """One."""
        return 1

    @property
    def series_description(self) -> str:
        """Region and view."""
        return f"Chest {self.view}"

    @property
    def body_site(self) -> Coding:
        """What was examined."""
        return CHEST

    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of the image; IndexError for any but the first."""
        if index:
            raise IndexError(index)
        return uid_of(f"{self.key}/dx/{self.view}")

    def shortened(self, slices: int | None) -> Self:
        """The same view, coarse."""
        if slices is None:
            return self
        few = replace(self.phantom, levels=30, columns_sampled=64, depths=24, rows=210, columns=250)
        return replace(self, phantom=few)
