"""What an examination is certainly of: whether words alone name its region, and whether it is a PET.

Spec: clinical rules Gc, Gf.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imaging_findings.codes import Code
from imaging_findings.study_kinds import Basis, StudyKind
from imaging_findings.study_table import SiteStudies, study_codes

_BODY = re.compile(r"\b(whole.body|ganzkörper|corps entier|skull base)", re.IGNORECASE)
# A complaint that the description gives as its reason is no region that was imaged.
_COMPLAINT = re.compile(r"\b(pain|ache|schmerz\w*|douleur\w*|dolor)\b", re.IGNORECASE)


def is_only_said(kind: StudyKind, description: str | None) -> bool:
    """Whether only words name the region, and more than one, or a complaint: then nobody can tell what was imaged (Gc)."""
    said = description or ""
    is_spread = len(kind.regions) > 1 and not _BODY.search(said)
    return kind.basis is Basis.WORDS and (is_spread or bool(_COMPLAINT.search(said)))


def is_pet(modalities: Iterable[str], stated: Iterable[Code], site: SiteStudies | None) -> bool:
    """Whether a PET is among the modalities or the procedure codes."""
    return "PT" in modalities or any(one.modality == "PT" for one in study_codes(stated, site))
