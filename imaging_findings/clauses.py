"""The clauses of a report's sentence: what is said of the effusion is not said of the nodule beside it.

Where it is not certain that a clause stands alone it is read together with the one before: a denial then reaches further, and
what is denied ends nothing. Spec: clinical rules Ga, X4.
"""

from __future__ import annotations

import re

# "A nodule with interval growth" is one clause, "with increase of the effusion" is another.
_GROWTH = (
    r"(?:(?:interval|significant|slight|mild|further|complete)\s+)*(?:growth|increase|enlargement|progression|resolution)\b"
)
_OF_ITSELF = r"(?!\s+(?:of|in)\s+(?!(?:its\s+)?(?:size|diameter)\b))"
_JOINT = re.compile(
    rf"([,;:](?=\s)|\b(?:and|while|whereas|but)\b|\bwith\b(?!\s+{_GROWTH}{_OF_ITSELF}))",
    re.IGNORECASE,
)
_DENIES = re.compile(r"\b(?:no(?!\s+longer)|not|cannot|without|never)\b|n['’]t\b", re.IGNORECASE)
# "No effusion, adenopathy or new nodule" denies all three; "no effusion, the nodule has grown" only the first.
_LISTS = frozenset({",", "and"})
_OWN_START = re.compile(r"\s*(?:(?:the|an?|this|there)\b|\d)", re.IGNORECASE)
# "The nodule, previously 7 mm, has grown": these words need what stands before them.
_GOES_ON = re.compile(
    r"\W*(?:which|that|has|have|had|is|are|was|were|now|again|previously|formerly|measur\w+|compared|not|never|only|partial\w*|"
    r"incomplete\w*|significantly)\b",
    re.IGNORECASE,
)


def clauses_of(sentence: str, subject: re.Pattern[str]) -> tuple[str, ...]:
    """The clauses, each with what only goes on with it; one that names a ``subject`` of its own goes on with none."""
    first, *rest = _JOINT.split(sentence)
    found = [first]
    for joint, words in zip(rest[::2], rest[1::2], strict=True):
        if _continues(found[-1], joint, words, subject):
            found[-1] = f"{found[-1]}{joint}{words}"
        else:
            found.append(words)
    return tuple(found)


def _continues(before: str, joint: str, words: str, subject: re.Pattern[str]) -> bool:
    if subject.search(words) is None and _GOES_ON.match(words):
        return True
    return joint.lower() in _LISTS and _DENIES.search(before) is not None and _OWN_START.match(words) is None
