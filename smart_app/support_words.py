"""What folded details call their facts; the names of OAuth parameters (``iss``, ``error``) have no translation."""

from __future__ import annotations

FACT_WORDS = {
    "reference": "reference number",
    "time": "time",
    "reason": "reason",
    "said": "what the EHR said",
    "compare": "what differs",
    "answered": "answered by",
    "expected issuer": "expected issuer",
    "granted scope": "granted scopes",
    "asked scopes": "scopes asked for",
    "fault": "fault",
    "answer": "answer",
    "server": "server",
    "origin": "origin",
    "address tried": "address tried",
    "imaging server": "imaging server",
    "study": "study",
    "state": "state",
    "finding": "finding",
}
"""By the names that the facts of a refusal have in the code."""
