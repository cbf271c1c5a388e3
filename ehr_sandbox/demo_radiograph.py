"""The demo's chest radiographs: one or two views in one series."""

from dataclasses import dataclass, replace
from typing import ClassVar, Self

from ehr_sandbox.demo_study import CHEST, Coding, DemoExamination, uid_of
from ehr_sandbox.phantom_radiograph import ChestRadiographPhantom, RadiographView

_WORDS = {RadiographView.FROM_THE_SIDE: "lateral"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRadiograph(DemoExamination):
    """A chest radiograph; of a patient in bed it is one view, from the front."""

    modality: ClassVar[str] = "DX"
    sop_class: ClassVar[str] = "1.2.840.10008.5.1.4.1.1.1.1"

    phantom: ChestRadiographPhantom
    views: tuple[RadiographView, ...] = (RadiographView.FROM_THE_FRONT,)

    @property
    def image_count(self) -> int:
        """One for each view."""
        return len(self.views)

    @property
    def series_description(self) -> str:
        """Region and views."""
        return f"Chest {' and '.join(_WORDS.get(view, view.value) for view in self.views)}"

    @property
    def body_site(self) -> Coding:
        """What was examined."""
        return CHEST

    def sop_instance_uid(self, index: int) -> str:
        """(0008,0018) of the image with this index; IndexError where there is no such view."""
        return uid_of(f"{self.key}/dx/{self.views[index]}")

    def shortened(self, slices: int | None) -> Self:
        """The same view, coarse."""
        if slices is None:
            return self
        few = replace(self.phantom, levels=30, columns_sampled=64, depths=24, rows=210, columns=250)
        return replace(self, phantom=few)
