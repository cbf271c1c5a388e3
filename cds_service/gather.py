"""Fills what the prefetch left open from the client's FHIR server, in parallel and within two budgets.

Optional data gets the soft budget and is left out after it; required data gets the hard one. The bearer token lives in the
``FhirClient`` of one request and nowhere else (R17). Spec: CDS Hooks 2.0 R19, R21, R22.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from typing import Any

from cds_service.fetching import Fetched, fetch
from cds_service.prefetch import PrefetchState, PrefetchValue, classify
from cds_service.protocol import HookRequest
from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import PrefetchUnavailable
from fhir_imaging.followed import followed
from fhir_imaging.scopes import ScopeContext
from imaging_findings.facts import ENCOUNTER_ID_TOKEN, FactQuery

_SLACK_S = 0.1
"""How long after the soft budget optional data is still read: it counts while required data is waited for."""
_MOST_FETCHES = 256
_BY_AUTHORIZATION = "fhirServer with a fhirAuthorization whose scope has {scope}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Budgets:
    """Times from the start of gathering, and how many pages of one search are followed."""

    soft_ms: int
    hard_ms: int
    max_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """Resources by key (None = could not be had), with the keys that came only in part and why keys are missing."""

    resources: Mapping[str, Sequence[Mapping[str, Any]] | None]
    partial: frozenset[str] = frozenset()
    reasons: Mapping[str, str] = field(default_factory=dict)
    broken: frozenset[str] = frozenset()
    """Keys that the client sends or grants and that went wrong this time, unlike those that it never gives."""


class Coverage(StrEnum):
    """How far the token's scopes reach for one query."""

    WHOLE = "whole"
    PART = "part"
    """Only scopes with search parameters grant it, so the server may leave resources out."""
    NONE = "none"


def fhir_client_for(request: HookRequest, allowed_servers: Collection[str], session: OutboundSession) -> FhirClient | None:
    """A client for the request's own FHIR server; None without a token, or when nobody configured that server (SSRF)."""
    if request.fhir_server is None or request.authorization is None:
        return None
    base = request.fhir_server.rstrip("/")
    if base not in {server.rstrip("/") for server in allowed_servers}:
        return None
    return FhirClient(base, session, access_token=request.authorization.access_token)


def coverage(request: HookRequest, query: FactQuery) -> Coverage:
    """Whether the request's token may read (or search) what the query asks for, by scopes of either version (R16)."""
    if request.authorization is None:
        return Coverage.NONE
    letter = "s" if "?" in query.template else "r"
    granting = request.authorization.scopes.granting(query.resource_type, letter, contexts=tuple(ScopeContext))
    if not granting:
        return Coverage.NONE
    return Coverage.PART if all(scope.filters for scope in granting) else Coverage.WHOLE


def gather(
    request: HookRequest, queries: Sequence[FactQuery], client: FhirClient | None, budgets: Budgets, *, fetches: bool = True
) -> Gathered:
    """All that can be had for the queries. PrefetchUnavailable (412) names the required keys that cannot.

    ``client`` None = nothing can be fetched: for this request, or (``fetches`` False) by a caller that never does.
    """
    values = {query.key: classify(query, request.prefetch, request.patient_id, request.encounter_id) for query in queries}
    open_queries = [
        query
        for query in queries
        if client and _is_worth_fetching(query, values[query.key]) and not _names_no_encounter(query, request)
    ]
    reach = {query.key: coverage(request, query) for query in open_queries}
    allowed = [query for query in open_queries if reach[query.key] is not Coverage.NONE]
    fetched = _fetch_all(client, allowed, values, request, budgets) if client and allowed else {}
    broken = frozenset(
        query.key for query in queries if _is_broken(values[query.key], query in allowed, fetched.get(query.key))
    )
    for query in open_queries:
        fetched |= _as_granted(query, reach[query.key], values[query.key], fetched.get(query.key))
    whole = {key for key, value in values.items() if value.is_complete}
    access = _no_access(request, fetches=fetches) if client is None else None
    otherwise = {query.key: _why_missing(query, values, request, access) for query in queries if query.key not in whole}
    gathered = replace(_merged(queries, values, fetched, otherwise), broken=broken)
    missing = [query for query in queries if query.required and gathered.resources[query.key] is None]
    if missing:
        told = "; ".join(_how_to_supply(query, gathered.reasons[query.key], access) for query in missing)
        keys = ",".join(query.key for query in missing)
        raise PrefetchUnavailable(f"Required prefetch data is missing. {told}.", keys=keys)
    return gathered


@dataclass(frozen=True, slots=True, kw_only=True)
class _NoAccess:
    """Why nothing can be fetched, and what the client can do about that beside sending the data; None = nothing."""

    reason: str
    remedy: str | None


def _no_access(request: HookRequest, *, fetches: bool) -> _NoAccess:
    if not fetches:
        return _NoAccess(reason="an explanation fetches nothing", remedy=None)
    if request.authorization is not None:
        # Somebody at the site has to say so: a server that a request alone names may be anybody's (SSRF).
        reason = "the request's fhirServer is not one that this site lists for this client"
        return _NoAccess(reason=reason, remedy="have the site list that server for this client (its fhir_servers)")
    if request.fhir_server is not None:
        return _NoAccess(reason="the request has no fhirAuthorization for its fhirServer", remedy=_BY_AUTHORIZATION)
    return _NoAccess(reason="the request names no fhirServer", remedy=_BY_AUTHORIZATION)


def _how_to_supply(query: FactQuery, reason: str, access: _NoAccess | None) -> str:
    """One missing key for the 412: what became of it, and the ways in which the client can mend it."""
    scope = f"patient/{query.resource_type}.{'s' if '?' in query.template else 'r'}"
    remedy = access.remedy if access else _BY_AUTHORIZATION
    told = f"{query.key}: {reason} - send prefetch.{query.key} by the template that discovery lists"
    return f"{told}, or {remedy.format(scope=scope)}" if remedy else told


def _as_granted(query: FactQuery, reach: Coverage, value: PrefetchValue, came: Fetched | None) -> dict[str, Fetched]:
    """What a narrow token does to one answer: nothing was asked, or not all may have been shown."""
    if reach is Coverage.NONE:
        reason = f"the token's scope does not cover {query.resource_type}"
        return {query.key: Fetched(resources=value.resources or None, complete=False, reason=reason)}
    if reach is Coverage.PART and came is not None and came.complete:
        return {query.key: replace(came, complete=False, reason="the token's scope covers only a part")}
    return {}


def _is_broken(value: PrefetchValue, is_asked: bool, came: Fetched | None) -> bool:
    """Whether something that should have come did not, or not whole: not what the client never sends and never grants."""
    if value.is_complete or (came is not None and came.complete):
        return False
    return is_asked or value.state is not PrefetchState.ABSENT


def _names_no_encounter(query: FactQuery, request: HookRequest) -> bool:
    """Whether the query is about an encounter that the request does not name: with an empty id it would ask for all of them."""
    return ENCOUNTER_ID_TOKEN in query.template and request.encounter_id is None


def _is_worth_fetching(query: FactQuery, value: PrefetchValue) -> bool:
    # A query that failed on the client's side is not repeated blindly; only a required one is tried once, before a 412.
    return not value.is_complete and (value.state is not PrefetchState.FAILED or query.required)


def _fetch_all(
    client: FhirClient,
    queries: Sequence[FactQuery],
    values: Mapping[str, PrefetchValue],
    request: HookRequest,
    budgets: Budgets,
) -> dict[str, Fetched]:
    started = time.monotonic()
    soft, hard = started + budgets.soft_ms / 1000, started + budgets.hard_ms / 1000
    optional = min(hard, soft + _SLACK_S)
    pool = _pool_of(os.getpid())
    futures: dict[str, Future[Fetched]] = {
        query.key: pool.submit(
            followed(fetch),
            client,
            query,
            values[query.key],
            request,
            (hard if query.required else optional, budgets.max_pages),
        )
        for query in queries
    }
    required = [futures[query.key] for query in queries if query.required]
    wait(required, timeout=hard - time.monotonic())
    wait(futures.values(), timeout=max(0.0, soft - time.monotonic()))
    # What no thread has begun by now is not asked any more: cancel() is true for that alone.
    return {key: future.result() for key, future in futures.items() if not future.cancel() and future.done()}


@cache
def _pool_of(_process: int) -> ThreadPoolExecutor:
    """The threads of one worker process, made as they are needed and kept: eight new ones cost a card 1 ms of processor.

    The limit only bounds what a silent FHIR server can hold; each thread is free again when its own question's time is over.
    """
    return ThreadPoolExecutor(max_workers=_MOST_FETCHES, thread_name_prefix="gather")


def _merged(
    queries: Sequence[FactQuery],
    values: Mapping[str, PrefetchValue],
    fetched: Mapping[str, Fetched],
    otherwise: Mapping[str, str],
) -> Gathered:
    resources: dict[str, Sequence[Mapping[str, Any]] | None] = {}
    partial: set[str] = set()
    reasons: dict[str, str] = {}
    for query in queries:
        value, came = values[query.key], fetched.get(query.key)
        if value.is_complete:
            resources[query.key] = value.resources
            continue
        if came is not None:
            resources[query.key] = came.resources
            complete, reason = came.complete, came.reason
        else:
            # The first page, or what stood beside an error, is a part; nothing is nothing.
            resources[query.key] = value.resources or None
            complete, reason = False, otherwise[query.key]
        if not complete:
            reasons[query.key] = reason
            if resources[query.key] is not None:
                partial.add(query.key)
    return Gathered(resources=resources, partial=frozenset(partial), reasons=reasons)


def _why_missing(query: FactQuery, values: Mapping[str, PrefetchValue], request: HookRequest, access: _NoAccess | None) -> str:
    value = values[query.key]
    if value.state is PrefetchState.FAILED:
        return "the client's own query failed"
    if _names_no_encounter(query, request):
        return "the request names no encounter (context.encounterId)"
    if access is not None:
        wrong = "the prefetch holds something else" if value.state is PrefetchState.MISMATCHED else "not in the prefetch"
        return f"{wrong}, and {access.reason}"
    return "it did not come in time"
