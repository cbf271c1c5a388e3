"""One handler, one shape for each kind of caller, a reference number in all of them and nothing that leaks (STYLE 13, 14)."""

import logging
from collections.abc import Iterator

import pytest
from flask import Flask, Response
from flask.testing import FlaskClient
from werkzeug.exceptions import RequestEntityTooLarge

from fhir_imaging import errors, web
from fhir_imaging.web import ErrorShape, ErrorSurface

RAISED: dict[str, Exception] = {
    "invalid": errors.InvalidRequest("The field 'hook' is missing."),
    "unsigned": errors.NotAuthenticated("No token came."),
    "expired": errors.NotAuthenticated("The token has ended.", challenge="invalid_token"),
    "forbidden": errors.NotPermitted("Not this patient."),
    "absent": errors.NotFound("No such service."),
    "prefetch": errors.PrefetchUnavailable("Prefetch key 'patient' is missing."),
    "busy": errors.UpstreamError("The archive is busy.", server="x", status=503, retryable=True, retry_after_s=9),
    "slow": errors.UpstreamTimeout("The archive did not answer.", server="x", retryable=True),
    "broken": errors.UpstreamError("The archive failed.", server="x", status=500),
    "large": RequestEntityTooLarge("secret body text"),
    "crash": RuntimeError("secret trace text"),
}
STATUS = {
    "invalid": 400, "unsigned": 401, "expired": 401, "forbidden": 403, "absent": 404, "prefetch": 412, "busy": 503,
    "slow": 504, "broken": 502, "large": 413, "crash": 500,
}  # fmt: skip


def marked(response: Response) -> Response:
    response.headers["X-Marked"] = "yes"
    return response


@pytest.fixture
def client() -> Iterator[FlaskClient]:
    app = Flask("shapes", template_folder=None)
    app.jinja_loader = __import__("jinja2").DictLoader({"error.html": "<h1>{{ title }}</h1>{{ detail }} {{ reference }}"})
    surfaces = [ErrorSurface("/fhir", ErrorShape.OPERATION_OUTCOME), ErrorSurface("/wado", ErrorShape.PROBLEM_JSON, marked)]
    web.install(app, surfaces)

    def fail(kind: str) -> str:
        raise RAISED[kind]

    for prefix in ("/fhir", "/wado", "/page"):
        app.add_url_rule(f"{prefix}/<kind>", prefix, fail)
    return app.test_client()


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("prefix", ["/fhir", "/wado", "/page"])
def test_every_error_has_its_status_its_shape_and_a_reference(client: FlaskClient, prefix: str, kind: str) -> None:
    response = client.get(f"{prefix}/{kind}", headers={"X-Request-Id": "abcdef0123456789"})

    assert response.status_code == STATUS[kind]
    assert response.headers["X-Request-Id"] == "abcdef0123456789"
    assert "abcdef0123456789" in response.text
    assert "secret" not in response.text
    assert response.headers["Cache-Control"] == "no-store"
    expected = {"/fhir": "application/fhir+json", "/wado": "application/problem+json", "/page": "text/html"}
    assert response.mimetype == expected[prefix]


def test_a_challenge_names_its_error_only_when_a_credential_came(client: FlaskClient) -> None:
    assert client.get("/wado/unsigned").headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/wado/expired").headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_busy_server_says_when_to_retry_and_components_add_headers(client: FlaskClient) -> None:
    response = client.get("/wado/busy")
    assert (response.headers["Retry-After"], response.headers["X-Marked"]) == ("9", "yes")


def test_unknown_addresses_take_the_shape_of_their_surface(client: FlaskClient) -> None:
    assert client.get("/fhir/no/such").json["issue"][0]["code"] == "not-found"
    assert client.post("/wado/invalid").json["status"] == 405


def test_an_odd_request_id_is_replaced_and_the_log_has_no_query(client: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="imaging_cds.request")

    response = client.get("/fhir/absent?patient=123", headers={"X-Request-Id": "a b\tc"})

    assert response.headers["X-Request-Id"] != "a b\tc"
    assert "123" not in caplog.text
    assert "/fhir/<kind>" in caplog.text
