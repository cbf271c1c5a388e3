"""Whether a sentence of a report plainly asks for no follow-up, and whether it is about another organ than the finding's.

A sentence with a condition asks for nothing plainly; it is quoted and nothing more (rule Gc).
"""

from __future__ import annotations

import re

from imaging_findings.findings import LUNG_KINDS, Kind

_ASKED = r"(?:recommended|needed|required|necessary|indicated|advised|suggested|warranted)"
_KINDS = r"(?:further|additional|routine|specific|dedicated|imaging|ct|chest|more|other|short[- ]term|long[- ]term|radiolog\w+)"
_THING = r"(?:follow[- ]?ups?|surveillance|imaging)"
_NONE_ASKED = re.compile(
    rf"\bno\s+(?:{_KINDS}\s+)*{_THING}(?:\s+(?:imaging|ct|examinations?|studies|scans?))?"
    rf"(?:\s*[.;!]?\s*$|\s+(?:(?:is|are)\s+)?{_ASKED}\b)"
    rf"|\b{_THING}(?:\s+(?:imaging|ct|examinations?|studies|scans?))?\s+(?:is|are)\s+not\s+{_ASKED}\b"
    rf"|(?:\bnot|n['’]t)\s+(?:need|require|warrant)\s+(?:any\s+)?(?:{_KINDS}\s+)*{_THING}\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"\b(if|unless|until|but|however|except|other than|beyond|before|once|provided|although)\b", re.IGNORECASE
)
_LUNG = re.compile(r"\b(lung|chest|pulmonary|lobe|thorax|thoracic|ldct)\b", re.IGNORECASE)
_OTHER_ORGAN = re.compile(
    r"\b(thyroid|renal|kidneys?|adrenals?|liver|hepatic|spleen|splenic|pancrea\w*|biliary|gall\s?bladder|ovar\w*|uter\w*|adnexal?|"
    r"prostat\w*|breasts?|aort\w*|spine|vertebra\w*|bone|osseous|cysts?|bowel|colon\w*|bladder|brain|sinus\w*|heart|cardiac)\b",
    re.IGNORECASE,
)


def asks_for_none(sentence: str) -> bool:
    """Whether the sentence plainly asks for no follow-up."""
    return _NONE_ASKED.search(sentence) is not None and not has_condition(sentence)


def has_condition(sentence: str) -> bool:
    """Whether what the sentence says holds only under a condition, or not wholly."""
    return _CONDITION.search(sentence) is not None


def is_about_another(sentence: str, kind: Kind) -> bool:
    """Whether the sentence is about another organ than the lung, where the finding is in the lung."""
    return kind in LUNG_KINDS and bool(_OTHER_ORGAN.search(sentence)) and not _LUNG.search(sentence)
