"""How dense blood is in the parts of the circulation: without contrast, and while contrast passes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Blood:
    """Hounsfield units of the blood in each part of the circulation, and of the heart's muscle."""

    systemic_veins: float = 41.0  # with the right atrium and ventricle
    pulmonary_arteries: float = 41.0
    pulmonary_veins: float = 41.0  # with the left atrium
    systemic_arteries: float = 41.0  # with the left ventricle
    lung_vessels: float = 40.0
    heart_muscle: float = 48.0

    @property
    def is_enhanced(self) -> bool:
        """Whether contrast parts the left ventricle's cavity from its muscle."""
        return self.systemic_arteries > self.heart_muscle + 20.0


NATIVE = Blood()
# A pulmonary angiogram: timed for the pulmonary arteries, the left heart already fills.
PULMONARY_PHASE = Blood(
    systemic_veins=330.0,
    pulmonary_arteries=360.0,
    pulmonary_veins=270.0,
    systemic_arteries=190.0,
    lung_vessels=320.0,
    heart_muscle=85.0,
)
# 70 seconds after the injection: the usual CT of abdomen and pelvis.
PORTAL_PHASE = Blood(
    systemic_veins=130.0,
    pulmonary_arteries=150.0,
    pulmonary_veins=150.0,
    systemic_arteries=155.0,
    lung_vessels=150.0,
    heart_muscle=105.0,
)
