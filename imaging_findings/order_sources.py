"""On whose authority the rules speak that are in no pack: version, citation and clinical owner of each set, shown in its cards.

No clinician has signed any of them yet, and the card says so. The follow-up rules stand on the packs' own sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from imaging_findings.order_advice import Reason

NO_OWNER = "not named yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSource:
    """One set of rules. ``needs_check``: no source was found, so a clinician decides before release.

    ``open_questions``: what we decided ourselves within a sourced set (evidence C). The card says that there is such a part;
    the documentation page names each.
    """

    version: str
    citation: str
    clinical_owner: str = NO_OWNER
    needs_check: bool = False
    open_questions: tuple[str, ...] = ()

    def owned_by(self, owner: str) -> RuleSource:
        """The set with the site's clinical owner, where it names one."""
        return replace(self, clinical_owner=owner) if owner else self

    @property
    def words(self) -> str:
        """The line that a card shows."""
        check = " These rules still need a clinician's check." if self.needs_check else ""
        local = " Partly a local choice that still needs a clinician's check." if self.open_questions else ""
        return f"{self.citation}; rule set version {self.version}. Clinical owner: {self.clinical_owner}.{check}{local}"


_REPEATS = RuleSource(
    version="2",
    citation="Look-back for repeated imaging after AJR 2014;203:W482",
    open_questions=(
        "72 hours for X-ray and ultrasound, 23 months for bone density",
        "intensive care and trauma wards are known by type or name",
    ),
)
_CONTRAST = RuleSource(
    version="2",
    citation="ACR–NKF consensus statements on intravenous contrast and kidney disease (2020); ACR Contrast Manual 2021",
)
_KIDNEY = replace(
    _CONTRAST,
    open_questions=("an eGFR below 45 that is older than the window counts as a risk factor", "gadolinium (N7)"),
)
_METFORMIN = replace(
    _CONTRAST,
    open_questions=("an arterial catheter study is known by its name", "a medication on hold or only reported counts as taken"),
)
_REACTION = replace(
    _CONTRAST,
    open_questions=(
        "high criticality without a stated severity counts as severe",
        "a contrast medium that is not named counts for both classes",
    ),
)
_PREGNANCY = RuleSource(version="1", citation="Local rule without a published source", needs_check=True)
_CODES = RuleSource(
    version="1",
    citation="LOINC names of imaging examinations, and the order code of the follow-up's own row",
    open_questions=("screening or diagnostic code for the 3- and 6-month follow-up of a screening",),
)

DISCHARGE = RuleSource(version="1", citation="Local rule without a published source", needs_check=True)
BOOKINGS = RuleSource(version="1", citation="Tolerances before and after the window: local, without a source", needs_check=True)

SOURCES: Mapping[Reason, RuleSource] = MappingProxyType(
    {
        Reason.DUPLICATE: _REPEATS,
        Reason.RELATED: _REPEATS,
        Reason.KIDNEY: _KIDNEY,
        Reason.METFORMIN: _METFORMIN,
        Reason.REACTION: _REACTION,
        Reason.PREGNANCY: _PREGNANCY,
        Reason.CODE: _CODES,
    }
)
