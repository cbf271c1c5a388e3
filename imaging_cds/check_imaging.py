"""Whether the imaging side of an EHR would serve a launch: where ImagingStudy is, how it answers, where the images are.

With a token it is asked as a launch would ask; the token goes only where a launch would send it.

Spec: SMART Imaging Access C3-C6, D1-D5, F1, F3, F6; RFC 6750 (P4); SMART App Launch 2.2 A37.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.endpoints import BundleResources, EndpointState, ResolvedEndpoint, resolve_endpoint
from fhir_imaging.settings import origin_of
from fhir_imaging.study import ImagingStudy, UnreadableStudy, read_study
from fhir_imaging.tolerant import as_dict, dicts, text, texts
from imaging_cds.check_context import CheckContext
from imaging_cds.check_probe import Answer
from imaging_cds.check_report import Area, Finding
from smart_app.imaging_base import ImagingBase, find_imaging_base, has_other_patients
from smart_app.study_list import ListContext, is_of_patient
from smart_app.token_origins import token_receivers

BASE = Area("Imaging server")
STATEMENT = Area("Capabilities of the imaging server")
STUDIES = Area("Studies and Endpoints")
IMAGES = Area("Images")
NOBODY = "imaging-cds-check-nobody"
"""A patient id that no server has: asking for it must be refused, not answered."""
FHIR_JSON = "application/fhir+json"
_SEARCH_PARAMETERS = ("patient", "identifier", "_lastUpdated")
_STATES = {
    EndpointState.MISSING: "name no Endpoint for WADO-RS",
    EndpointState.OTHER_VIEWER: "name only another viewer",
    EndpointState.INACTIVE: "name an Endpoint that is switched off",
    EndpointState.UNRESOLVED: "name an Endpoint that is not included",
    EndpointState.ORIGIN_REFUSED: "name an Endpoint on an origin that may not receive the token",
}


def check_imaging(context: CheckContext, metadata: SmartMetadata) -> Iterator[Finding]:
    """The imaging server, from its discovery to the images themselves."""
    base = find_imaging_base(context.ehr, metadata, context.issuer)
    receivers = token_receivers(context.ehr, metadata, context.app_origin)
    yield from _check_base(base)
    if origin_of(base.url) not in receivers:
        yield BASE.fault(
            f"{base.url} is not believed to belong to the EHR, so no token is sent there.",
            "If it does, write it as imaging_base, or its origin among token_origins of this EHR.",
        )
        return
    yield from _check_without_token(context, base)
    yield from _check_statement(context, base)
    if context.token is None or context.patient is None:
        yield STUDIES.note("Not asked: give --token-file and --patient to try a search as a launch would make it.")
        return
    yield from _check_other_patient(context, base)
    is_foreign = has_other_patients(context.ehr, metadata, context.issuer, base)
    as_listed = ListContext(
        patient_id=context.patient,
        patient_bases=(context.issuer,) if is_foreign else (context.issuer, base.url),
        relative_studies_are_own=not is_foreign,
        token_receivers=receivers,
    )
    yield from _check_studies(context, base, as_listed)


def _check_base(base: ImagingBase) -> Iterator[Finding]:
    if not base.is_stated:
        yield BASE.warning(
            " ".join(base.notes),
            "Ask where ImagingStudy is served, and write it as imaging_base (with imaging_mode_asserted = true where "
            "discovery lists smart-imaging-access without the mode) of this EHR.",
        )
    elif base.mode_asserted:
        yield BASE.note(f"{base.url} is used by this installation's word; the EHR does not offer it for app launch.")
    else:
        yield BASE.ok(f"{base.url} is offered for app launch.")


def _check_without_token(context: CheckContext, base: ImagingBase) -> Iterator[Finding]:
    url = f"{base.url.rstrip('/')}/ImagingStudy"
    answer = context.prober.get(url, [("patient", NOBODY)], accept=FHIR_JSON)
    if answer.status == 401:
        challenge = answer.headers.get("WWW-Authenticate", "")
        if challenge.lower().startswith("bearer"):
            yield BASE.ok("It asks for a token (401, WWW-Authenticate: Bearer).")
        else:
            yield BASE.note("It answers 401 without WWW-Authenticate: Bearer, which RFC 6750 asks for.")
    elif answer.status == 200:
        yield BASE.fault(
            "It answers a search without any token.",
            "Anybody who reaches this address reads everybody's studies. The server must demand the token.",
        )
    else:
        yield BASE.fault(
            f"{url}: {answer.said}, where 401 is expected without a token.",
            answer.remedy or "Check the address of the imaging base; 404 mostly means that ImagingStudy is not served there.",
        )


def _check_statement(context: CheckContext, base: ImagingBase) -> Iterator[Finding]:
    answer = context.prober.get(f"{base.url.rstrip('/')}/metadata", accept=FHIR_JSON)
    statement = answer.document() if answer.status == 200 else None
    if statement is None:
        yield STATEMENT.note(f"No CapabilityStatement ({answer.said}); the application does not need one.")
        return
    version = text(statement.get("fhirVersion")) or "not stated"
    if version.startswith(("4.", "5.")):
        yield STATEMENT.ok(f"FHIR {version}.")
    else:
        yield STATEMENT.warning(f"FHIR version: {version}.", "R4, R4B and R5 are read; other versions may not be understood.")
    resources = {text(one.get("type")): one for rest in dicts(statement.get("rest")) for one in dicts(rest.get("resource"))}
    yield from _check_study_search(resources.get("ImagingStudy"))
    if "Endpoint" not in resources:
        yield STATEMENT.note("Endpoint is not listed; where images are can then only stand inside the studies.")


def _check_study_search(resource: Mapping[str, Any] | None) -> Iterator[Finding]:
    if resource is None:
        yield STATEMENT.fault(
            "ImagingStudy is not listed.", "If another server has the studies, write it as imaging_base of this EHR."
        )
        return
    known = {text(one.get("name")) for one in dicts(resource.get("searchParam"))}
    missing = [name for name in _SEARCH_PARAMETERS if name not in known]
    if "patient" in missing:
        yield STATEMENT.warning("ImagingStudy has no search by patient.", "The study list needs ImagingStudy?patient= (F1).")
    elif missing:
        yield STATEMENT.note(f"ImagingStudy has no search by {' and '.join(missing)}; the whole list is read then.")
    else:
        yield STATEMENT.ok("ImagingStudy is searched by patient, identifier and _lastUpdated.")
    included = texts(resource.get("searchInclude"))
    if included and not {"*", "ImagingStudy:endpoint"} & set(included):
        yield STATEMENT.note("_include=ImagingStudy:endpoint is not listed; it is asked for all the same.")


def _check_other_patient(context: CheckContext, base: ImagingBase) -> Iterator[Finding]:
    answer = _search(context, base, NOBODY)
    if answer.status in (401, 403):
        yield STUDIES.ok(f"A search for another patient is refused ({answer.said}).")
    elif _studies_in(answer):
        yield STUDIES.fault(
            "A search for another patient brings studies.",
            "The server does not hold the token to its patient (F6). Do not use it before that is mended.",
        )
    else:
        yield STUDIES.note(f"A search for another patient: {answer.said}, where 403 is asked for (F6).")


def _check_studies(context: CheckContext, base: ImagingBase, as_listed: ListContext) -> Iterator[Finding]:
    patient = as_listed.patient_id
    answer = _search(context, base, patient)
    if answer.status == 200 and not _studies_in(answer):
        answer = _search(context, base, f"Patient/{patient}")
    bundle = answer.document() if answer.status == 200 else None
    if bundle is None or bundle.get("resourceType") != "Bundle":
        yield STUDIES.fault(f"The search brought no Bundle: {answer.said}.", _search_remedy(answer))
        return
    entries = [(text(one.get("fullUrl")) or "", as_dict(one.get("resource"))) for one in dicts(bundle.get("entry"))]
    studies = [read_study(one) for _, one in entries if one.get("resourceType") == "ImagingStudy"]
    readable = [one for one in studies if isinstance(one, ImagingStudy)]
    for odd in studies:
        if isinstance(odd, UnreadableStudy):
            yield STUDIES.warning(f"ImagingStudy/{odd.resource_id}: {odd.problem}", "The server must correct it (C5).")
    if not readable:
        yield STUDIES.warning("The patient has no readable study here.", "Try a patient who has images.")
        return
    yield STUDIES.ok(f"Studies of the patient that are read: {len(readable)}.")
    yield from _check_subjects(context, [one for _, one in entries], as_listed)
    endpoints = {f"Endpoint/{one.get('id')}": one for _, one in entries if one.get("resourceType") == "Endpoint"}
    resources = BundleResources(dict(entries), endpoints)
    resolved = [resolve_endpoint(one, resources, as_listed.token_receivers, context.ehr.endpoint_rewrites) for one in readable]
    yield from _check_endpoints(resolved)
    usable = next(((s, r) for s, r in zip(readable, resolved, strict=True) if r.endpoint), None)
    if usable is not None and usable[1].endpoint is not None:
        yield from _check_images(context, usable[0], usable[1].endpoint.address)


def _check_subjects(context: CheckContext, found: Sequence[Mapping[str, Any]], as_listed: ListContext) -> Iterator[Finding]:
    """Whether the application's list shows these studies as the patient's."""
    studies = [one for one in found if one.get("resourceType") == "ImagingStudy"]
    left_out = sum(not is_of_patient(one, as_listed) for one in studies)
    if left_out:
        base, own = context.ehr.fhir_base.rstrip("/"), as_listed.relative_studies_are_own
        alike = "" if own else "; or, where that server's Patients have the EHR's own ids, say imaging_base_has_ehr_ids = true"
        yield STUDIES.warning(
            f"Studies whose subject is not this patient of the EHR, which the list leaves out: {left_out} of {len(studies)}.",
            f"Have subjects written as {base}/Patient/ID{alike}.",
        )


def _check_endpoints(resolved: list[ResolvedEndpoint]) -> Iterator[Finding]:
    counted = Counter(one.state for one in resolved)
    if counted[EndpointState.USABLE]:
        addresses = sorted({one.address for one in resolved if one.endpoint and one.address})
        yield STUDIES.ok(f"Studies with a usable Endpoint: {counted[EndpointState.USABLE]} ({', '.join(addresses[:5])}).")
    for state, words in _STATES.items():
        if counted[state]:
            where = sorted({one.address for one in resolved if one.state is state and one.address})
            named = f" ({', '.join(where[:5])})" if where else ""
            yield STUDIES.warning(f"Studies that {words}: {counted[state]}{named}.", _ENDPOINT_REMEDIES[state])


_ENDPOINT_REMEDIES = {
    EndpointState.MISSING: "The imaging server must give each study an Endpoint of type dicom-wado-rs (F4).",
    EndpointState.OTHER_VIEWER: "The imaging server must give each study an Endpoint of type dicom-wado-rs too (F4).",
    EndpointState.INACTIVE: "Its status must be active while it works.",
    EndpointState.UNRESOLVED: "The server must include it (_include=ImagingStudy:endpoint), and the scopes allow Endpoint.",
    EndpointState.ORIGIN_REFUSED: "If it belongs to the EHR's trust, add its origin to token_origins; else rewrite the "
    "address to this installation's gateway with endpoint_rewrites.",
}


def _check_images(context: CheckContext, study: ImagingStudy, address: str) -> Iterator[Finding]:
    url = f"{address}/studies/{study.study_instance_uid}/metadata"
    answer = context.prober.get(url, token=context.token, accept="application/dicom+json")
    if answer.status == 200:
        yield IMAGES.ok(f"{address} serves a study's metadata with this token in {answer.elapsed_ms:.0f} ms.")
    else:
        yield IMAGES.fault(f"{address} was asked with this token: {answer.said}.", _image_remedy(answer))
    if origin_of(address) != context.app_origin:
        yield from _check_preflight(context, url)


def _check_preflight(context: CheckContext, url: str) -> Iterator[Finding]:
    """The viewer's page is on our origin; the browser asks the image server first whether it may send the token."""
    answer = context.prober.preflight(url)
    origin = answer.headers.get("Access-Control-Allow-Origin")
    allowed = answer.headers.get("Access-Control-Allow-Headers", "").lower()
    if answer.status in (200, 204) and origin in ("*", context.app_origin) and "authorization" in allowed:
        yield IMAGES.ok(f"Browsers may send the token there from {context.app_origin} (CORS).")
        return
    yield IMAGES.fault(
        f"The image server does not allow pages of {context.app_origin} to send a token (CORS preflight: {answer.said}).",
        f"Allow the origin {context.app_origin} and the header Authorization there, or put this installation's gateway in "
        "front of it with endpoint_rewrites.",
    )


def _studies_in(answer: Answer) -> list[Mapping[str, Any]]:
    """The ImagingStudy resources of a search's answer; a server may put an OperationOutcome beside them or in their place."""
    entries = dicts((answer.document() or {}).get("entry")) if answer.status == 200 else ()
    resources = (as_dict(one.get("resource")) for one in entries)
    return [one for one in resources if one.get("resourceType") == "ImagingStudy"]


def _search(context: CheckContext, base: ImagingBase, patient: str) -> Answer:
    params = [("patient", patient), ("_include", "ImagingStudy:endpoint")]
    return context.prober.get(f"{base.url.rstrip('/')}/ImagingStudy", params, token=context.token, accept=FHIR_JSON)


def _search_remedy(answer: Answer) -> str:
    if answer.status == 401:
        return "The server does not take this token: it may have ended, or the server cannot check this EHR's tokens (A2)."
    if answer.status == 403:
        return "The token's scopes or its patient do not cover the search; it needs patient/ImagingStudy.rs (C1)."
    return answer.remedy or "The imaging server must answer ImagingStudy?patient= with a searchset Bundle (F1, F3)."


def _image_remedy(answer: Answer) -> str:
    if answer.status in (401, 403):
        return "The image server must take the EHR's token for its patient's studies (W3, W4); check its audience and keys."
    if answer.status in (404, 406, 501):
        return "The viewer needs study metadata as application/dicom+json (WADO-RS); the image server must offer it."
    return answer.remedy or "Check the address of the Endpoint and whether the image server runs."
