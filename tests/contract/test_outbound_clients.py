"""Outbound HTTP: allow-listed, never redirected, always timed; FHIR paging, JWKS and SMART metadata over real sockets."""

import json
import time
from collections.abc import Callable, Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from flask import Flask, Response, request

from fhir_imaging.clients.fhir import FhirClient
from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.clients.jwks import JwksClient, JwksPolicy, read_jwks
from fhir_imaging.clients.smart_metadata import AssociatedEndpoint, SmartMetadataClient
from fhir_imaging.errors import NotFound, UpstreamError, UpstreamRefused, UpstreamTimeout

Serve = Callable[[Flask, int], str]


def test_an_origin_that_nobody_configured_is_refused_before_any_connection(free_port: int, serve: Serve) -> None:
    asked: list[str] = []
    app = Flask("foreign")
    app.add_url_rule("/<path:rest>", view_func=lambda rest: asked.append(rest) or "no")
    foreign = serve(app, free_port)

    with OutboundSession(["https://ehr.example"]) as session:
        for url in (f"{foreign}/x", "https://ehr.example@evil.example/", "https://user@ehr.example/", "file:///etc/passwd"):
            with pytest.raises(UpstreamRefused):
                session.get(url)

    assert asked == []


@pytest.mark.parametrize("target", ["http://127.0.0.1:1/", "https://[x", "//", "mailto:a", "http://user@\x80"])
def test_redirects_are_neither_followed_nor_looked_at(free_port: int, serve: Serve, target: str) -> None:
    app = Flask("redirecting")

    def answer(_environ: object, start: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
        start("302 Found", [("Location", target), ("Content-Length", "0")])
        return [b""]

    app.wsgi_app = answer  # type: ignore[assignment]  # Flask itself would refuse to send such addresses
    base = serve(app, free_port)

    with OutboundSession([base]) as session:
        assert session.get(base + "/").status_code == 302
        with session.ask(base + "/fhir", headers={}, timeout_s=2.0) as response:
            assert response.status_code == 302


def test_a_server_s_cookies_are_neither_kept_nor_sent(free_port: int, serve: Serve) -> None:
    """Group 20: one session serves many callers; what a server began for one token is not shown with the next."""
    seen: list[str | None] = []
    app = Flask("with sessions")

    @app.route("/fhir", methods=["GET", "POST"])
    def answer() -> Response:
        seen.append(request.headers.get("Cookie"))
        return Response("{}", headers={"Set-Cookie": "JSESSIONID=of-the-first; Path=/"})

    base = serve(app, free_port)
    with OutboundSession([base]) as session:
        for ask in (session.get, session.post, session.get):
            ask(base + "/fhir").close()
        session.ask(base + "/fhir", headers={}).close()

    assert seen == [None] * 4


def test_silence_is_a_timeout_and_a_closed_port_an_upstream_error(free_port: int, serve: Serve) -> None:
    app = Flask("slow")
    app.add_url_rule("/", view_func=lambda: __import__("time").sleep(1) or "late")
    base = serve(app, free_port)

    with OutboundSession([base, "http://127.0.0.1:9"], timeout_s=0.2, retries=0) as session:
        with pytest.raises(UpstreamTimeout):
            session.get(base + "/")
        with pytest.raises(UpstreamError) as failed:
            session.get("http://127.0.0.1:9/")
    assert failed.value.retryable


def a_bundle(*entries: dict[str, object], next_url: str | None = None) -> Response:
    links = [{"relation": "next", "url": next_url}] if next_url else []
    body = {"resourceType": "Bundle", "type": "searchset", "total": 3, "link": links, "entry": list(entries)}
    return Response(json.dumps(body), mimetype="application/fhir+json")


def test_fhir_searches_page_with_the_token_and_part_matches_from_includes(free_port: int, serve: Serve) -> None:
    seen: list[tuple[str, str | None]] = []
    app = Flask("fhir")

    @app.get("/fhir/ImagingStudy")
    def search() -> Response:
        seen.append((request.query_string.decode(), request.headers.get("Authorization")))
        if "page" in request.args:
            return a_bundle({"resource": {"resourceType": "ImagingStudy", "id": "2"}, "search": {"mode": "match"}})
        return a_bundle(
            {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "ImagingStudy", "id": "1"}},
            {"resource": {"resourceType": "Endpoint", "id": "e"}, "search": {"mode": "include"}},
            {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}},
            {"resource": "odd"},
            next_url="ImagingStudy?page=2",
        )

    base = serve(app, free_port) + "/fhir"
    with OutboundSession([base]) as session:
        pages = list(FhirClient(base, session, access_token="t0ken").pages("ImagingStudy", [("patient", "p1")]))

    assert [[one["id"] for one in page.matches] for page in pages] == [["1"], ["2"]]
    assert [one["id"] for one in pages[0].included] == ["e"]
    assert (len(pages[0].outcomes), pages[0].total, list(pages[0].full_urls)) == (1, 3, ["urn:uuid:1"])
    assert seen == [("patient=p1", "Bearer t0ken"), ("page=2", "Bearer t0ken")]


def test_a_paging_link_to_another_server_is_not_followed(free_port: int, serve: Serve) -> None:
    app = Flask("fhir")
    app.add_url_rule("/fhir/Patient", view_func=lambda: a_bundle(next_url="http://127.0.0.2/fhir/Patient?page=2"))
    base = serve(app, free_port) + "/fhir"

    with OutboundSession([base, "http://127.0.0.2"]) as session, pytest.raises(UpstreamRefused, match="another server"):
        list(FhirClient(base, session, access_token="t").pages("Patient", []))


@pytest.mark.parametrize("link", ["http://[", "javascript:1"])
def test_a_paging_link_that_is_no_address_ends_the_pages_and_says_that_there_are_more(
    free_port: int, serve: Serve, link: str
) -> None:
    app = Flask("fhir")
    app.add_url_rule("/fhir/Patient", view_func=lambda: a_bundle({"resource": {"resourceType": "Patient"}}, next_url=link))
    base = serve(app, free_port) + "/fhir"

    with OutboundSession([base]) as session:
        client = FhirClient(base, session, access_token="t")
        (page,) = client.pages("Patient", [])
        assert (len(page.matches), page.next_url) == (1, link)
        with pytest.raises(UpstreamRefused, match="no address"):
            client.follow(link)


@pytest.mark.parametrize(
    ("status", "kind"), [(404, NotFound), (410, NotFound), (401, UpstreamRefused), (403, UpstreamRefused), (500, UpstreamError)]
)
def test_fhir_refusals_become_typed_errors(free_port: int, serve: Serve, status: int, kind: type[Exception]) -> None:
    app = Flask("fhir")
    app.add_url_rule("/Patient/<i>", view_func=lambda i: ("secret upstream text", status))
    base = serve(app, free_port)

    with OutboundSession([base], retries=0) as session, pytest.raises(kind) as raised:
        FhirClient(base, session).read("Patient", "1")
    assert "secret upstream text" not in str(raised.value)


def test_a_busy_server_says_when_to_come_back(free_port: int, serve: Serve) -> None:
    app = Flask("fhir")
    app.add_url_rule("/Patient/<i>", view_func=lambda i: ("", 503, {"Retry-After": "7"}))
    base = serve(app, free_port)

    with OutboundSession([base], retries=0) as session, pytest.raises(UpstreamError) as raised:
        FhirClient(base, session).read("Patient", "1")
    assert (raised.value.retryable, raised.value.retry_after_s) == (True, 7)


@pytest.mark.parametrize("name", ["Retry-After", "Date"])
def test_c7_a_year_beyond_all_numbers_is_no_time_and_no_crash(free_port: int, serve: Serve, name: str) -> None:
    """It used to escape as an OverflowError, and every card of the patient with it."""
    dates = {"Retry-After": "Sat, 21 Nov 2026 12:00:00 GMT", name: "Sat, 21 Nov 99999999999999 12:00:00 GMT"}
    app = Flask("fhir")
    app.add_url_rule("/Patient/<i>", view_func=lambda i: ("", 429, dates))
    base = serve(app, free_port)

    with OutboundSession([base], retries=0) as session, pytest.raises(UpstreamError) as raised:
        FhirClient(base, session).read("Patient", "1")
    assert (raised.value.retryable, raised.value.retry_after_s is None) == (True, name == "Retry-After")


@pytest.mark.parametrize(("headers", "asked"), [({"Retry-After": "7"}, 1), ({}, 2)])
def test_c7_nothing_is_asked_again_at_once_where_the_server_named_a_time(
    free_port: int, serve: Serve, headers: dict[str, str], asked: int
) -> None:
    app, requests_seen = Flask("fhir"), []

    @app.get("/Patient/<i>")
    def patient(i: str) -> tuple[str, int, dict[str, str]]:
        requests_seen.append(i)
        return "", 503, headers

    with OutboundSession([base := serve(app, free_port)], retries=1) as session, pytest.raises(UpstreamError):
        FhirClient(base, session).read("Patient", "1")
    assert len(requests_seen) == asked


@pytest.mark.parametrize("body", ["not json", "[1]"])
def test_an_answer_that_is_no_resource_is_an_error(free_port: int, serve: Serve, body: str) -> None:
    app = Flask("fhir")
    app.add_url_rule("/Patient/<i>", view_func=lambda i: body)
    base = serve(app, free_port)

    with OutboundSession([base]) as session, pytest.raises(UpstreamError):
        FhirClient(base, session).read("Patient", "1")


def test_a_body_that_drips_is_a_timeout_of_the_whole_answer_where_one_is_given(free_port: int, serve: Serve) -> None:
    """A socket's timeout begins anew with each byte (R22)."""

    def dripped() -> Iterator[bytes]:
        for byte in b'{"resourceType": "Patient"}':
            time.sleep(0.05)
            yield bytes([byte])

    app = Flask("fhir")
    app.add_url_rule("/Patient/<i>", view_func=lambda i: Response(dripped(), mimetype="application/fhir+json"))
    base = serve(app, free_port)

    with OutboundSession([base], timeout_s=5) as session:
        client = FhirClient(base, session)
        began = time.monotonic()
        for resource_id in ("1", "a%41"):  # the second goes by requests' own preparation
            with pytest.raises(UpstreamTimeout):
                client.read("Patient", resource_id, timeout_s=0.3)
        assert time.monotonic() - began < 27 * 0.05, "less than one answer takes to its last byte"
        assert client.read("Patient", "1", timeout_s=5) == {"resourceType": "Patient"}
        assert client.read("Patient", "1") == {"resourceType": "Patient"}


RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP384R1())


def test_a_search_answered_by_something_else_than_a_bundle_is_no_empty_list(free_port: int, serve: Serve) -> None:
    app = Flask("fhir")
    app.add_url_rule("/Patient", view_func=lambda: {"resourceType": "OperationOutcome", "issue": []})
    base = serve(app, free_port)

    with OutboundSession([base]) as session, pytest.raises(UpstreamError, match="no Bundle"):
        FhirClient(base, session).search("Patient", [])


def rsa_jwk(kid: str) -> dict[str, object]:
    return jwt.algorithms.RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True) | {"kid": kid}


def ec_jwk(kid: str) -> dict[str, object]:
    return jwt.algorithms.ECAlgorithm.to_jwk(EC.public_key(), as_dict=True) | {"kid": kid}


def test_jwks_rotation_is_followed_and_an_outage_survived_for_a_while(free_port: int, serve: Serve) -> None:
    """smart-imaging group 5."""
    published: list[dict[str, object]] = [rsa_jwk("old")]
    state = {"down": False, "fetches": 0, "now": 1000.0}
    app = Flask("keys")

    @app.get("/jwks")
    def jwks() -> Response:
        state["fetches"] += 1
        return Response(status=500) if state["down"] else Response(json.dumps({"keys": published}))

    base = serve(app, free_port)
    with OutboundSession([base], retries=0) as session:
        keys = JwksClient(f"{base}/jwks", session, policy=JwksPolicy(60, 600, 10), monotonic=lambda: state["now"])
        assert len(keys.candidates("old", "RS256")) == 1
        assert keys.candidates("new", "RS256") == ()
        published[:] = [rsa_jwk("new"), ec_jwk("ec")]
        assert keys.candidates("new", "RS256") == (), "within the cool-down nothing is refetched"
        state["now"] += 11
        assert len(keys.candidates("new", "RS256")) == 1
        assert keys.candidates("old", "RS256") == ()
        assert len(keys.candidates("ec", "ES384")) == 1
        assert keys.candidates("ec", "RS256") == (), "a key of another type never matches"
        assert len(keys.candidates(None, "ES384")) == 1, "no kid: every key of the type"
        state |= {"down": True, "now": state["now"] + 120}
        assert len(keys.candidates("new", "RS256")) == 1, "an outage does not drop the last good keys"
        state["now"] += 1000
        with pytest.raises(UpstreamError):
            keys.candidates("new", "RS256")


def test_odd_symmetric_and_private_keys_are_not_used() -> None:
    private = jwt.algorithms.RSAAlgorithm.to_jwk(RSA, as_dict=True) | {"kid": "p"}
    document = {"keys": [{"kty": "oct", "k": "AAAA"}, "odd", {"kty": "RSA"}, rsa_jwk("enc") | {"use": "enc"}, private]}

    keys = read_jwks(document)

    assert [key.key_id for key in keys] == ["p"]
    assert not hasattr(keys[0].key, "private_numbers")
    assert read_jwks({"keys": "x"}) == ()


def test_two_keys_of_one_id_name_none(free_port: int, serve: Serve) -> None:
    app = Flask("keys")
    app.add_url_rule("/jwks", view_func=lambda: {"keys": [rsa_jwk("a"), rsa_jwk("a")]})
    base = serve(app, free_port)

    with OutboundSession([base]) as session:
        assert JwksClient(f"{base}/jwks", session).candidates("a", "RS256") == ()


def test_smart_configuration_is_read_with_relative_urls_and_imaging_endpoints(free_port: int, serve: Serve) -> None:
    """APP-A1, APP-A2, APP-A33, SMART Imaging Access D1."""
    app = Flask("ehr")

    @app.get("/fhir/.well-known/smart-configuration")
    def configuration() -> dict[str, object]:
        return {
            "authorization_endpoint": "auth/authorize",
            "token_endpoint": "https://idp.example/token",
            "capabilities": ["launch-ehr", 5],
            "associated_endpoints": [{"url": "https://img.example/fhir/", "capabilities": ["smart-imaging-access"]}, "odd"],
        }

    base = serve(app, free_port) + "/fhir"
    with OutboundSession([base]) as session:
        metadata = SmartMetadataClient(session).of(base)

    assert metadata.authorization_endpoint == f"{base}/auth/authorize"
    assert metadata.token_endpoint == "https://idp.example/token"
    assert metadata.capabilities == ("launch-ehr",)
    assert metadata.associated_endpoints == (AssociatedEndpoint("https://img.example/fhir", ("smart-imaging-access",)),)


def test_a_legacy_server_is_read_from_its_capability_statement(free_port: int, serve: Serve) -> None:
    """APP-A3, complaint 9."""
    app = Flask("legacy")
    uris = [{"url": "authorize", "valueUri": "https://a/auth"}, {"url": "token", "valueUri": "https://a/token"}]
    extension = {"url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris", "extension": uris}
    app.add_url_rule("/metadata", view_func=lambda: {"rest": [{"security": {"extension": [extension]}}]})
    base = serve(app, free_port)

    with OutboundSession([base]) as session:
        assert SmartMetadataClient(session).of(base).token_endpoint == "https://a/token"


def test_without_any_configuration_the_address_tried_is_named(free_port: int, serve: Serve) -> None:
    base = serve(Flask("bare"), free_port)

    with OutboundSession([base]) as session, pytest.raises(UpstreamError, match=r"/\.well-known/smart-configuration"):
        SmartMetadataClient(session).of(base)
