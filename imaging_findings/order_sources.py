"""On whose authority the order-time rules speak: version, citation and clinical owner of each set, shown in its cards.

No clinician has signed any of them yet, and the card says so. The follow-up rules stand on the packs' own sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from imaging_findings.order_advice import Reason

NO_OWNER = "none yet: a site names one before clinical use"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSource:
    """One set of order-time rules. ``needs_check``: no source was found, so a clinician decides before release."""

    version: str
    citation: str
    clinical_owner: str = NO_OWNER
    needs_check: bool = False

    @property
    def words(self) -> str:
        """The line that a card shows."""
        check = " These rules still need a clinician's check." if self.needs_check else ""
        return f"{self.citation}; rule set version {self.version}. Clinical owner: {self.clinical_owner}.{check}"


_REPEATS = RuleSource(version="1", citation="Look-back for repeated imaging after AJR 2014;203:W482")
_CONTRAST = RuleSource(
    version="1",
    citation="ACR–NKF consensus statements on intravenous contrast and kidney disease (2020); ACR Contrast Manual 2021",
)
_PREGNANCY = RuleSource(version="1", citation="Local rule without a published source", needs_check=True)
_CODES = RuleSource(version="1", citation="LOINC names of imaging examinations, and the order code of the follow-up's own row")

SOURCES: Mapping[Reason, RuleSource] = MappingProxyType(
    {
        Reason.DUPLICATE: _REPEATS,
        Reason.RELATED: _REPEATS,
        Reason.KIDNEY: _CONTRAST,
        Reason.METFORMIN: _CONTRAST,
        Reason.REACTION: _CONTRAST,
        Reason.PREGNANCY: _PREGNANCY,
        Reason.CODE: _CODES,
    }
)
