"""Whether a FHIR server says that it takes what a synchronisation writes, and whether its client asks for leave to.

Spec: FHIR R4 CapabilityStatement; SMART App Launch 2.2 (system scopes).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fhir_imaging.scopes import ScopeContext, parse_scopes
from fhir_imaging.tolerant import as_dict, dicts
from imaging_cds.check_report import Area, Finding
from pacs_sync.settings import ResourceIds, SyncSettings

_STUDIES, _RESULTS = ("ImagingStudy", "Endpoint"), ("Observation", "DiagnosticReport", "Device")
_CREATE, _UPDATE, _SEARCH = "create", "update", "search-type"


def check_writing(area: Area, statement: Mapping[str, Any], sync: SyncSettings) -> Iterator[Finding]:
    """By its CapabilityStatement and the scopes of the settings; nothing is tried."""
    rest = next((one for one in dicts(statement.get("rest")) if one.get("mode") == "server"), {})
    types = {str(one.get("type")): one for one in dicts(rest.get("resource"))}
    faults = [*_untaken(area, types, sync), *_unasked(area, sync)]
    yield from faults
    if not types:
        yield area.note("Its CapabilityStatement lists no resource types, so what it takes is not known.")
    elif not faults:
        yield area.ok("It says that it takes ImagingStudy, Endpoint and what belongs to them.")
    interactions = {one.get("code") for one in dicts(rest.get("interaction"))}
    if sync.target.transactions and types and "transaction" not in interactions:
        yield area.fault("It lists no transactions.", f"Set transactions = false in sync.{sync.name}.target.")


def _kinds(sync: SyncSettings) -> tuple[str, ...]:
    return (*_STUDIES, *_RESULTS) if sync.results else _STUDIES


def _untaken(area: Area, types: Mapping[str, Mapping[str, Any]], sync: SyncSettings) -> Iterator[Finding]:
    wanted = {"Patient": (_SEARCH,), **dict.fromkeys(_kinds(sync), (_SEARCH, _CREATE, _UPDATE))}
    for kind, interactions in wanted.items() if types else ():
        offered = {str(one.get("code")) for one in dicts(as_dict(types.get(kind)).get("interaction"))}
        needed = [one for one in interactions if not (one == _CREATE and sync.target.ids is ResourceIds.STUDY_UID)]
        missing = [one for one in needed if one not in offered]
        if kind not in types:
            words = f"It lists no {kind}."
        elif offered and missing:
            words = f"Of {kind} it lists no {' and no '.join(missing)}."
        else:
            continue
        remedy = "The FHIR server must offer it"
        extra = "; or set results = false, which brings studies alone." if kind in _RESULTS else "."
        yield area.fault(words, f"{remedy}{extra}")
    study = as_dict(types.get("ImagingStudy"))
    if study and sync.target.ids is ResourceIds.STUDY_UID and study.get("updateCreate") is False:
        yield area.fault("It takes no ids from clients (updateCreate).", f'Set ids = "server" in sync.{sync.name}.target.')
    if (
        study
        and sync.target.ids is ResourceIds.SERVER
        and not (study.get("conditionalCreate") or study.get("conditionalUpdate"))
    ):
        yield area.warning(
            "It lists neither conditional creates nor conditional updates: two processes might write one study twice.",
            f'Set ids = "study-uid" in sync.{sync.name}.target if it takes ids from clients; else run one process only.',
        )


def _unasked(area: Area, sync: SyncSettings) -> Iterator[Finding]:
    """What the client's scopes leave out; only Backend Services have scopes of ours."""
    if sync.target.backend_client_id is None:
        return
    asked = parse_scopes(sync.target.backend_scopes)
    needed = {"Patient": "s", **dict.fromkeys(_kinds(sync), "crus")}
    missing = [
        f"system/{kind}.{letters}"
        for kind, letters in needed.items()
        if not set(letters) <= asked.letters_for(kind, contexts=(ScopeContext.SYSTEM,))
    ]
    if missing:
        yield area.fault(
            f"backend_scopes do not ask for {', '.join(missing)}.",
            f"Add them to sync.{sync.name}.target.backend_scopes, and have them registered.",
        )
