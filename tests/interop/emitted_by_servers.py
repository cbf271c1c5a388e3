"""What the imaging FHIR endpoint, the CDS service and the audit log give out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any

from flask import Response

from fhir_imaging import errors
from fhir_imaging.audit import AUDIT_BACKLOG, ORIGIN_NOT_ALLOWED, TOKEN_DIGEST_PREFIX, AuditAction, AuditOutcome, AuditRecord
from fhir_imaging.problems import operation_outcome, problem_of
from smart_app.refused_endpoints import NO_WEB_ADDRESS
from tests.audit_actors import an_access, as_event
from tests.cds_actors import (
    CdsActor,
    a_bundle,
    a_cds_service,
    a_hook,
    a_lung_rads,
    a_nodule,
    a_store,
    a_study,
    nodule_components,
    whole_prefetch,
)
from tests.contract.imaging_fhir_actors import CT_A, ImagingFhir, an_imaging_fhir, only_at, tagged
from tests.order_cases import a_chart, a_draft, signing
from tests.security.gateway_stubs import dicom_json

Json = dict[str, Any]
CATEGORIES = ("0", "1", "2", "3", "4A", "4B", "4X")


def audit_events() -> Iterator[Json]:
    """Of every action and outcome, with all that can be known and with next to nothing."""
    known: Json = {
        "query": "modality=CT&started=ge2026",
        "request_id": "4ee6a1a2c2d14f5d",
        "subject_role": ("urn:example:roles|radiologist", "reader of images"),
        "purpose_of_use": ("http://terminology.hl7.org/CodeSystem/v3-ActReason|TREAT",),
        "method": "DELETE",
    }
    unknown: Json = dict.fromkeys(
        ("patient_id", "user", "client_id", "issuer", "study_instance_uid", "client_address", "token_reference")
    )
    for action, outcome in product(AuditAction, AuditOutcome):
        for more in ({}, known, unknown, {"user": "dr@example.org", "token_reference": f"{TOKEN_DIGEST_PREFIX}5f3a"}):
            yield _event(an_access(action=action, outcome=outcome, reason=_reason(action, outcome), **more))
    for reason in (None, AUDIT_BACKLOG, f"{ORIGIN_NOT_ALLOWED}: {NO_WEB_ADDRESS}"):
        yield _event(an_access(action=AuditAction.ENDPOINT_REFUSED, outcome=AuditOutcome.DENIED, reason=reason))
    for method in ("POST", "PUT", "PATCH", "TRACE"):
        yield _event(an_access(action=AuditAction.METHOD_REFUSED, outcome=AuditOutcome.DENIED, method=method))


def _event(record: AuditRecord) -> Json:
    return dict(as_event(record, "7d1c1c1e-54c3-4bb9-8d1b-6a3f0a0f5a01"))


def _reason(action: AuditAction, outcome: AuditOutcome) -> str | None:
    if action is AuditAction.ENDPOINT_REFUSED:
        return f"{ORIGIN_NOT_ALLOWED}: https://elsewhere.example"
    return "other-patient: the study is of somebody else" if outcome is AuditOutcome.DENIED else None


def endpoint_answers(directory: Path) -> Iterator[Json]:
    """Of the imaging FHIR endpoint over HTTP, told by the archives' own index and by a FHIR server."""
    with an_imaging_fhir(directory / "indexed") as world:
        yield from _asked(world)
        some = [tagged(x0020000D=CT_A, x0020000E="2.25.5")]
        only_at(world.main, "/series", lambda: dicom_json(some, Warning='299 pacs "There are more"'))
        yield world.search(id=CT_A).json()
        only_at(world.second, "studies", lambda: Response(status=500))
        yield world.search().json()
    with an_imaging_fhir(directory / "fed", fed={}) as world:
        yield from _asked(world)


def _asked(world: ImagingFhir) -> Iterator[Json]:
    token = world.north.token()
    for path, credentials in (
        ("/metadata", None),
        (f"/ImagingStudy/{CT_A}", token),
        ("/Endpoint/main", token),
        ("/ImagingStudy?patient=pat-a&_include=ImagingStudy:endpoint", token),
        ("/ImagingStudy?patient=pat-a&_count=1&_sort=-started", token),
        ("/ImagingStudy?patient=pat-a&modality=XX", token),
        ("/ImagingStudy?patient=pat-b", token),
        ("/ImagingStudy?patient=pat-a&_count=many", token),
        ("/ImagingStudy?patient=pat-a", None),
        ("/ImagingStudy/2.25.404", token),
        ("/Patient/pat-a", token),
    ):
        yield world.ask(path, credentials).json()
    yield world.ask("/ImagingStudy", token, "POST", b"{}").json()


def outcomes() -> Iterator[Json]:
    """The OperationOutcome of every error of the product."""
    server = {"server": "fhir"}
    more: dict[type[errors.ImagingError], list[Json]] = {
        errors.TooManyRequests: [{"retry_after_s": 5}],
        errors.Busy: [{"retry_after_s": 5}],
        errors.NotSupported: [{"status": 405}],
        errors.UpstreamError: [server, {**server, "retryable": True}],
        errors.UpstreamTimeout: [server],
        errors.UpstreamRefused: [{**server, "status": 403}],
    }
    for kind in (one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.ImagingError)):
        for named in more.get(kind, [{}]):
            error = kind("What the person reads.", **named)
            yield operation_outcome(problem_of(error).issue_code, error.detail)


def cds_answers(directory: Path) -> Iterator[Json]:
    """Refusals of the CDS service, and the resources of what its cards suggest."""
    with closing(a_store(directory / "state")) as store:
        cds = a_cds_service(store, directory)
        for body, service in (({"hook": "patient-view"}, "imaging-findings"), (b"{", "imaging-findings"), (a_hook(), "none")):
            yield dict(cds.call(body, service).get_json())
        yield dict(cds.call(a_hook(None), "imaging-findings").get_json())
        yield from (resource for _, resource in suggested(cds))


def suggested(cds: CdsActor) -> Iterator[tuple[str, Json]]:
    """The card's words and the resource of every suggestion: of each row of the lung packs, and of an order's better code."""
    nodules = [
        a_nodule(size, kind, risk=risk, **more)
        for size, kind, risk in product((4.0, 7.0, 12.0), ("solid", "part-solid", "ground-glass"), ("low", "high"))
        for more in ({}, {"component": nodule_components(size, kind, risk=risk, count=3)})
    ]
    for finding in (*map(a_lung_rads, CATEGORIES), *nodules):
        yield from _of_cards(cds.cards(a_hook(whole_prefetch(finding))))
    earlier = {"effectiveDateTime": "2026-02-01T10:00:00+01:00"}
    for finding in (a_nodule(7.0), a_lung_rads("4A")):
        studies = a_bundle(a_study(started=earlier["effectiveDateTime"]))
        chart = a_chart(findings=a_bundle(finding | earlier), studies=studies)
        answer = cds.call(signing(a_draft(), chart=chart), "imaging-order-sign").get_json()
        yield from _of_cards(answer["cards"])


def _of_cards(cards: list[Json]) -> Iterator[tuple[str, Json]]:
    for card in cards:
        for suggestion in card.get("suggestions", []):
            yield from ((card["detail"], action["resource"]) for action in suggestion["actions"] if "resource" in action)
