"""Which Observations of one study describe one nodule: counted twice, one nodule would be "multiple" (F3, F4, F7).

One nodule: a tracking identifier in common, or the same size, type and site. Where the sites cannot be compared nothing says
whether it is one, and both answers stay open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from imaging_findings.findings import Finding, Nodule


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """The nodules of a study, each once; ``doubtful`` of them may be one of the others seen again."""

    findings: tuple[Finding, ...]
    doubtful: int = 0
    repeated: int = 0
    """How many further Observations describe one of the nodules again."""

    @property
    def totals(self) -> tuple[int, ...]:
        """How many nodules there may be, the most first."""
        most = len(self.findings)
        return (most, most - self.doubtful) if self.doubtful else (most,)


def distinct_nodules(findings: Sequence[Finding]) -> Distinct:
    """Each nodule once, in the order of their Observations."""
    kept: list[Finding] = []
    doubtful = repeated = 0
    for finding in findings:
        known = [_is_same(finding.nodule, one.nodule) for one in kept]
        if True in known:
            repeated += 1
            continue
        doubtful += None in known
        kept.append(finding)
    return Distinct(findings=tuple(kept), doubtful=doubtful, repeated=repeated)


def _is_same(one: Nodule, other: Nodule) -> bool | None:
    """Whether two descriptions are of one nodule; None where that cannot be told."""
    if one.tracking and other.tracking:
        return not one.tracking.isdisjoint(other.tracking)
    if one.diameter_mm is None or (one.diameter_mm, one.attenuation) != (other.diameter_mm, other.attenuation):
        return False
    if one.site == other.site:
        return True
    return None if not (one.site and other.site) or one.site & other.site else False
