"""Requests to every route of the application, made by chance out of what each route knows and of what it does not.

A place of a route (``<session_id>``) or a route itself that nobody described here fails the test that uses it: whoever adds a
route says what may stand in it and who its callers are.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote, unquote, urlencode

from hypothesis import strategies as st
from werkzeug.routing import Rule

from tests.contract.smart_actors import APP, STUDY_A, STUDY_B
from tests.security.gateway_stubs import instance_of, series_of
from tests.security.whole_application import METRICS_TOKEN, WholeApplication

SECRET = "eyJ-a-token-that-must-never-come-back"
MARKUP = "<h7-markup>"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "BREW")
_PLACE = re.compile(r"<(?:(\w+)(?:\(([^)]*)\))?:)?(\w+)>")


class Callers(StrEnum):
    """Who calls a route, and so how it tells of an error."""

    PEOPLE = "text/html"
    SCRIPTS = "application/json"
    DICOMWEB = "application/problem+json"
    FHIR = "application/fhir+json"
    STREAM = "application/x-ndjson"
    """The study list's page, which reads one JSON object a line."""
    FILES = "text/plain"
    """Pages that fetch files: nobody reads what is said of one that is not there."""


BLUEPRINTS = {
    "cds_service": Callers.FHIR,
    "imaging_server": Callers.DICOMWEB,
    "imaging_fhir": Callers.FHIR,
    "metrics": Callers.DICOMWEB,
    "health": Callers.PEOPLE,
    "static": Callers.FILES,
    "static_of_any_release": Callers.FILES,
}
PAGES = frozenset(
    (
        *("index", "jwks", "display", "callback", "launch", "go", "standalone", "viewer_file", "open_study", "style"),
        *("display_in_session", "logout", "named", "shell", "app_config", "report_window", "report_form", "studies"),
        *("recover", "viewer", "window_ticket", "window", "panel", "stream", "state", "token"),
    )
)
"""The SMART app's routes, by name."""


def callers_of(rule: Rule) -> Callers:
    """Who calls a route; KeyError for one that nobody described."""
    if rule.endpoint == "cds_service.documentation":
        return Callers.PEOPLE
    blueprint, _, name = rule.endpoint.rpartition(".")
    if blueprint == "smart_app":
        return {
            **dict.fromkeys(PAGES, Callers.PEOPLE),
            "token": Callers.SCRIPTS,
            "stream": Callers.STREAM,
            "viewer_file": Callers.FILES,
        }[name]
    return BLUEPRINTS[blueprint or name]


PREFIXES = (
    ("/imaging/sandbox/fhir", Callers.FHIR),
    ("/imaging", Callers.DICOMWEB),
    ("/cds-services", Callers.FHIR),
    ("/metrics", Callers.DICOMWEB),
)
FOR_BROWSERS = frozenset((Callers.PEOPLE, Callers.SCRIPTS, Callers.STREAM, Callers.FILES))


def shapes_at(target: str) -> frozenset[str]:
    """In which shapes errors may come at an address, which need not be a route any more once it is spoilt."""
    path = unquote(target.partition("?")[0])
    below = [shape.value for prefix, shape in PREFIXES if path == prefix or path.startswith(f"{prefix}/")]
    return frozenset(below[:1] or [one.value for one in FOR_BROWSERS])


@dataclass(frozen=True, slots=True)
class Asking:
    """One request as it is sent."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None


texts = st.text(max_size=16).map(lambda raw: quote(raw, safe=""))
SPOILS = (
    *("%0a", "%0d%0aX-Planted:%20yes", "%00", "%20", ";x", "%2f", "/", "//", "/..", "%2e%2e", "..%2f", "%5c", ",", "*", "%3F"),
    *("%23", "%D9%A2", "%ff", "%c0%ae", "%", "%2", "'", '"', "|", "{}", "%E2%80%8B", "%ED%A0%80", "+", "@", "~", "."),
    quote(MARKUP),
)
spoils = st.one_of(st.sampled_from(SPOILS), texts)
seldom_spoilt = st.sampled_from((False, False, False, True)).flatmap(lambda is_spoilt: spoils if is_spoilt else st.just(""))
uids = st.sampled_from((STUDY_A, STUDY_B, series_of(STUDY_A), instance_of(STUDY_A), "1.2.3", "0", "..", "9" * 65))


def places(world: WholeApplication) -> dict[str, st.SearchStrategy[str]]:
    """What may stand in each place of a route, by its name."""
    return {
        "ehr": st.sampled_from(("sandbox", "other")),
        "ehr_name": st.sampled_from(("sandbox", "other")),
        "pacs": st.sampled_from(("demo", "other")),
        "study": st.one_of(st.just(STUDY_A), uids),
        "study_instance_uid": st.one_of(st.just(STUDY_A), uids),
        "series": st.one_of(st.just(series_of(STUDY_A)), uids),
        "instance": st.one_of(st.just(instance_of(STUDY_A)), uids),
        "frames": st.sampled_from(("1", "1,2", "0", "9" * 20)),
        "store": st.sampled_from(("bulkdata", "bulk", "pixeldata")),
        "bulk": st.sampled_from(("7FE00010", "a/b", "..")),
        "endpoint": st.sampled_from(("demo", "other")),
        "session_id": st.one_of(st.just(world.session), st.sampled_from(("x" * 43, "none"))),
        "service_id": st.sampled_from(("no-such-service", *world.services)),
        "report_id": st.sampled_from(("report-a", "other")),
        "position": st.sampled_from(("0", "1", "9" * 30)),
        "name": st.sampled_from(("index.html", "app-config.js", "..", "a/b.js")),
        "route": st.sampled_from(("viewer", "", "a/b", "index.html")),
        "release": st.sampled_from(("0", "1.0")),
        "filename": st.sampled_from(("style.css", "app.css", "..", "a/b")),
    }


NAMES = (
    *("iss", "launch", "code", "state", "error", "error_description", "patient", "identifier", "_lastUpdated", "_include"),
    *("requestType", "studyUID", "patientID", "accessionNumber", "seriesUID", "objectUID", "contentType", "accept", "limit"),
    *("offset", "PatientID", "StudyInstanceUID", "includefield", "page", "ticket", "series", "instance", "refused", "window"),
    *("viewport", "quality", "url", "redirect", "configUrl", "StudyInstanceUIDs", "position", "_count", "_sort", "started"),
)
VALUES = (
    *("demo-a", "demo-b", f"urn:oid:{STUDY_A}", "WADO", "STUDY", "PATIENT", "1", "-1", "9" * 30, "true", "", "*", "%00"),
    *("https://evil.example/", "//evil.example", "javascript:alert(1)", "image/jpeg", "ImagingStudy:endpoint", "gt2026-01-01"),
)
HEADERS = (
    *("Accept", "Accept-Language", "Accept-Encoding", "Range", "If-Range", "If-None-Match", "If-Modified-Since", "Origin"),
    *("Referer", "Sec-Fetch-Site", "X-Request-Id", "Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Prefix"),
    *("X-HTTP-Method-Override", "Prefer", "User-Agent", "Access-Control-Request-Method", "Access-Control-Request-Headers"),
)
HEADER_VALUES = (
    *("*/*", "text/html", "application/json", "application/dicom+json", "multipart/related; type=application/dicom"),
    *("bytes=0-1", "bytes=-0", '"e"', "null", APP, "https://evil.example", "same-origin", "cross-site", "DELETE", "gzip"),
    *("host=evil.example", "/evil", "q=2;;,", "Wed, 99 Foo 0000 99:99:99 GMT", "de-CH, *;q=0.5", "return=minimal", SECRET),
)
latin = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MEDIA_TYPES = (
    *("application/json", "application/fhir+json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"),
    *("application/dicom", 'multipart/related; type="application/dicom"; boundary=b', "text/plain; charset=no-such", "a"),
)


def _hook(world: WholeApplication) -> st.SearchStrategy[dict[str, object]]:
    """A CDS Hooks request with members of any shape."""
    sound = {
        "hook": "patient-view",
        "hookInstance": "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        "fhirServer": world.ehr.fhir_base,
        "context": {"userId": "Practitioner/gp", "patientId": "demo-a"},
    }
    return st.dictionaries(st.sampled_from((*sound, "prefetch", "fhirAuthorization")), json_values, max_size=3).map(
        lambda bent: {**sound, **bent}
    )


@st.composite
def askings(draw: st.DrawFn, world: WholeApplication, rule: Rule, method: str) -> Asking:
    """Requests of one method to one route, mostly right and now and then spoilt anywhere."""
    known = places(world)

    def fill(place: re.Match[str]) -> str:
        return draw(known[place[3]]) + draw(seldom_spoilt)

    path = _PLACE.sub(fill, rule.rule) + draw(seldom_spoilt)
    pairs = draw(st.lists(st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(VALUES), spoils)), max_size=4))
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = draw(st.dictionaries(st.sampled_from(HEADERS), st.one_of(st.sampled_from(HEADER_VALUES), latin), max_size=4))
    headers = {name: value.strip() for name, value in headers.items()} | draw(_credentials(world))
    body, media_type = draw(_bodies(world))
    if body is not None:
        headers["Content-Type"] = media_type
    target = path + (f"?{query}" if query else "")
    return Asking(method, target.encode("ascii", "replace").decode(), headers, body)


def _credentials(world: WholeApplication) -> st.SearchStrategy[dict[str, str]]:
    bearers = ("", "", world.token, SECRET, f"{SECRET} x", METRICS_TOKEN)
    cookies = (world.cookie, world.cookie, "", f"{world.cookie.partition('=')[0]}={SECRET}", f"{SECRET}; =; a")
    return st.tuples(st.sampled_from(bearers), st.sampled_from(cookies)).map(
        lambda pair: {
            **({"Authorization": f"Bearer {pair[0]}"} if pair[0] else {}),
            **({"Cookie": pair[1]} if pair[1] else {}),
        }
    )


def _bodies(world: WholeApplication) -> st.SearchStrategy[tuple[bytes | None, str]]:
    form = st.lists(st.tuples(st.sampled_from((*NAMES, "feedback")), st.text(max_size=8)), max_size=3)
    contents = st.one_of(
        st.none(),
        st.none(),
        st.binary(max_size=60),
        _hook(world).map(lambda one: json.dumps(one).encode()),
        json_values.map(lambda one: json.dumps({"feedback": one}).encode()),
        form.map(lambda one: urlencode([(name, value.encode("utf-8", "replace")) for name, value in one]).encode()),
    )
    return st.tuples(contents, st.sampled_from(MEDIA_TYPES))
