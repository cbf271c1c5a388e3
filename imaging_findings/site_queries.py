"""The queries of a site whose policy names findings of its own: what is not asked for never comes."""

from __future__ import annotations

import re
from dataclasses import replace

from imaging_findings.facts import FactQuery
from imaging_findings.rules import ActionablePolicy

_CODES = re.compile(r"(?<=[?&]code=)[^&]+")


def asking_for(query: FactQuery, policy: ActionablePolicy | None) -> FactQuery:
    """The query, that for findings with the codes of the policy's rows beside its own (R10: still one plain search)."""
    found = _CODES.search(query.template)
    if query.key != "findings" or policy is None or found is None:
        return query
    asked = found[0].split(",")
    named = dict.fromkeys([*asked, *(f"{row.code.system}|{row.code.code}" for row in policy.rows)])
    return replace(query, template=query.template.replace(found[0], ",".join(named), 1))
