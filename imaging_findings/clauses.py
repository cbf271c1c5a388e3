"""The clauses of a report's sentence: what is said of the effusion is not said of the nodule beside it.

Where it is not certain that a clause stands alone it is read together with the one before: a denial then reaches further, and
what is denied or left open ends nothing (decision 0006). Spec: clinical rules Ga, X4.
"""

from __future__ import annotations

import re

_SEEN = (
    r"(?:seen|identified|visible|visuali[sz]ed|present|evident|demonstrated|detected|noted|found|appreciated|observed|shown|"
    r"suspected)\b"
)
# "The effusion is no longer seen" states what has become of it; "no longer any effusion, a new nodule" denies both.
NO_LONGER_SEEN = re.compile(rf"\bno longer\s+(?={_SEEN})", re.IGNORECASE)
DENIES = re.compile(
    rf"\b(?:no(?!\s+longer\s+{_SEEN})|not|cannot|without|never|none|nil|nor|neither|nothing|lack(?:s|ing)?|absen(?:t|ce)|"
    r"negative\s+(?:for|of)|free of|den(?:y|ies|ied)|rather than|instead of|unlikely|doubt\w*|exclud\w+|rul(?:e[sd]?|ing) out|"
    r"unable|fail\w*|unclear|uncertain|whether|if|unless)\b|\bw/o\b|\br/o\b|n['’]t\b|\?"
    # "10 mm versus 7 mm" compares, "new nodule versus vessel" is open.
    r"|\b(?:versus|vs)\b(?!\.?\s+(?:\d|(?:the\s+)?(?:prior|previous)))",
    re.IGNORECASE,
)
"""Words that deny what stands in their clause or leave it open."""

# "A nodule with interval growth" is one clause, "with increase of the effusion" is another.
_GROWTH = (
    r"(?:(?:interval|significant|slight|mild|further|complete)\s+)*(?:growth|increase|enlargement|progression|resolution)\b"
)
_OF_ITSELF = r"(?!\s+(?:of|in)\s+(?!(?:its\s+)?(?:size|diameter)\b))"
_JOINT = re.compile(
    rf"([,;:](?=\s)|\b(?:and|while|whereas|but)\b|\bwith\b(?!\s+{_GROWTH}{_OF_ITSELF}))",
    re.IGNORECASE,
)
_CONTRASTS = frozenset({"but", "while", "whereas"})
# "The nodule, previously 7 mm, has grown": these words need what stands before them.
_GOES_ON = re.compile(
    r"\W*(?:(?:which|that|has|have|had|is|are|was|were|now|again|previously|formerly|measur\w+|compared|not|never|only|partial\w*|"
    r"incomplete\w*|significantly|none|nil)\b|(?:no|absent|negative|excluded)\W*$)",
    re.IGNORECASE,
)
# "No effusion, adenopathy or a new nodule" denies all three; "no effusion, the nodule has grown" only the first.
_DEFINITE = re.compile(r"\s*(?:(?:the|this|there)\b|\d)", re.IGNORECASE)
_INDEFINITE = re.compile(r"\s*an?\b", re.IGNORECASE)
_FINITE = (
    r"\b(?:(?:is|are|was|were|has|have|had)n['’]t|"
    r"(?:is|are|was|were|has|have|had|grew|remains|appears|measures|shows|disappeared)\b|"
    r"(?<!to )(?<!not )(?<!n['’]t )(?:remain|appear|measure|show)\b)"
)
_VERB = re.compile(_FINITE, re.IGNORECASE)
# "There is no effusion, a new nodule is seen" may be one list; after "the effusion has not changed" it cannot.
_STATED = re.compile(rf"(?<!there ){_FINITE}", re.IGNORECASE)
# The verb is the clause's own: not of "a nodule which is …", and not of the list that "or" closes.
_OWN_VERB = re.compile(rf"(?:(?!\b(?:which|that|who|where|or|nor)\b).)*?(?P<verb>{_FINITE})", re.IGNORECASE | re.DOTALL)
# "No effusion, the mass and new nodule are seen": this verb may be that of all.
_OF_ALL = re.compile(rf"\s*(?:been\s+)?(?:\w+ly\s+)?{_SEEN}", re.IGNORECASE)
# "No evidence that the effusion and the nodule have grown": the denial governs whatever statement follows.
_THAT = re.compile(r"\b(?:that|whether|if)\b", re.IGNORECASE)
_GOVERNS = re.compile(
    r"(?:\b(?:not|cannot|never)|n['’]t)\s+(?:\w+\s+){0,2}?(?:think|believe|suspect|say|feel|suggest|mean|sure|certain|convinced)\b"
    r"|\bno\s+(?:\w+\s+){0,3}?(?:evidence|signs?|indications?|suggestion|proof)\s+(?:the|an?|this|any|either|both)\b",
    re.IGNORECASE,
)
_NEITHER, _NOR = (re.compile(rf"\b{one}\b", re.IGNORECASE) for one in ("neither", "nor"))
# "A new nodule, effusion or adenopathy is not seen" denies all three backwards; "new nodule, no effusion" does not.
_DENIES_BACK = re.compile(
    rf"(?:\b(?:not|never)|n['’]t)\s+(?:been\s+)?(?:\w+ly\s+)?{_SEEN}|\bnone\b|\babsent\b|(?<!not )(?<!be )\bexcluded\b"
    r"|\bor\b.*\bunlikely\b",
    re.IGNORECASE | re.DOTALL,
)
_DENIES_ONWARD = re.compile(r"\W*(?:no|without)\b", re.IGNORECASE)


def clauses_of(sentence: str, subject: re.Pattern[str]) -> tuple[str, ...]:
    """The clauses, each with what only goes on with it; one that names a ``subject`` of its own goes on with none."""
    first, *rest = _JOINT.split(sentence)
    found = [("", first)]
    for joint, words in zip(rest[::2], rest[1::2], strict=True):
        if _continues(found[-1][1], joint.lower(), words, subject):
            found[-1] = (found[-1][0], f"{found[-1][1]}{joint}{words}")
        else:
            found.append((joint, words))
    return _denied_backwards(found)


def _continues(before: str, joint: str, words: str, subject: re.Pattern[str]) -> bool:
    if subject.search(words) is None and _GOES_ON.match(words):
        return True
    denial = DENIES.search(before)
    if denial is None:
        return False
    return _governs_on(before, denial.start()) or not (joint in _CONTRASTS or _stands_alone(before, joint, words))


def _governs_on(before: str, denial: int) -> bool:
    """Whether the denial (its place in ``before``) is of statements, so that one more of them is denied as well."""
    if _THAT.search(before, denial) or _GOVERNS.search(before):
        return True
    return _NEITHER.search(before) is not None and _NOR.search(before) is None


def _stands_alone(before: str, joint: str, words: str) -> bool:
    """Whether the words after a denial are a statement with a subject and a verb of their own, and no item of its list."""
    own = _OWN_VERB.match(words)
    if own is None:
        return False
    is_stated = _STATED.search(before) is not None
    if not is_stated and _OF_ALL.match(words, own.end("verb")):
        return False
    return joint == ";" or _DEFINITE.match(words) is not None or (is_stated and _INDEFINITE.match(words) is not None)


def _denied_backwards(found: list[tuple[str, str]]) -> tuple[str, ...]:
    """The clauses without their joints; items of a list go with the denial at its end."""
    clauses: list[str] = []
    joint_after = ""
    for joint, words in reversed(found):
        if clauses and joint_after.lower() not in _CONTRASTS and _VERB.search(words) is None and _is_denied_back(clauses[-1]):
            clauses[-1] = f"{words}{joint_after}{clauses[-1]}"
        else:
            clauses.append(words)
        joint_after = joint
    return tuple(reversed(clauses))


def _is_denied_back(clause: str) -> bool:
    return _DENIES_BACK.search(clause) is not None and _DENIES_ONWARD.match(clause) is None
