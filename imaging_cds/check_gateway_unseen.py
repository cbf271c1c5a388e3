"""What SMART Imaging Access asks of a server and nobody can see from outside: each with whom to ask, and what to look at.

They stand in the report so that a row that is missing is never taken for a requirement that is kept.

Spec: SMART Imaging Access F11-F13, W3 (streaming past a token's end), M8, M14.
"""

from __future__ import annotations

from imaging_cds.check_gateway_examination import Examination
from imaging_cds.check_gateway_report import Outcome, Unseen
from imaging_cds.check_gateway_requirement import Requirement


def _unseen(ids: str, name: str, asks: str, why: str, ask: str) -> Requirement:
    def check(exam: Examination) -> Outcome:
        raise Unseen(f"{why} {ask}")

    return Requirement(ids=ids, name=name, asks=asks, remedy=ask, check=check)


UNSEEN_REQUIREMENTS = (
    _unseen(
        "F11",
        "own-client",
        "The server's own reading of Patient (backend credentials) does not widen what a caller may see.",
        "Which credential the server uses inside does not show; what it may not lead to is tried by F5, F6, F8 and W4.",
        "Ask the operator for the scopes of that client: Patient only.",
    ),
    _unseen(
        "F12",
        "capability-life",
        "Addresses that carry a permission cannot be guessed, live shortly, and their life and revocation are documented.",
        "A few of them say nothing about all of them; their binding to the token is tried by W6 and M8.",
        "Ask for the documentation of their lifetime, and for how they are made.",
    ),
    _unseen(
        "F13",
        "metadata-cache",
        "Study metadata is cached apart from Endpoints of one token.",
        "It is advice, and a cache inside does not show; a cache that mixes up tokens is tried by W3 and P4 (caching).",
        "Ask whether any cache stands between the check of the token and the answer.",
    ),
    _unseen(
        "W3",
        "streaming-past-the-end",
        "An answer that is streaming when its token ends may complete; a new request is judged afresh.",
        "It needs a token that ends within a download; requests with a token that has ended are tried by W3 (ended).",
        "Ask how long a decision is kept: never beyond the token's end.",
    ),
    _unseen(
        "M8",
        "shared-keys",
        "Addresses that carry a permission survive a restart and a second process, and stand in no access log.",
        "Neither restarts nor logs show from outside.",
        "Ask where their key is kept, and look for such an address in the access log.",
    ),
    _unseen(
        "M14",
        "audit",
        "Each search, each study opened and each denial is recorded, without the token.",
        "Records are not shown to callers.",
        "Look the requests of this check up in the audit trail.",
    ),
)
