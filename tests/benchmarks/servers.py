"""What the product is measured against, on its own gunicorn: a static answer, a proxy that checks nothing, a fake EHR.

``python -m tests.benchmarks.servers static|proxy|fake-ehr …`` serves until it is stopped.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from typing import Any

import urllib3
from flask import Flask, Response, request

from imaging_cds.server import ServerSettings, serve
from tests.contract import smart_actors
from tests.contract.smart_actors import FakeEhr, imaging_study, patient_a, report_on, wado_endpoint

STUDIES = 200


def static(length: int) -> Flask:
    """Reads what is posted and answers fixed JSON of the given length: what any Flask view costs here."""
    app = Flask("bench_static", static_folder=None)
    body = b'{"cards":"' + b"x" * (length - 12) + b'"}'

    @app.post("/static")
    def answer() -> Response:
        request.get_data(cache=False)
        return Response(body, mimetype="application/json")

    return app


def proxy(upstream: str) -> Flask:
    """Hands the archive's answers on whole over a bare urllib3 pool: what forwarding alone costs."""
    app = Flask("bench_proxy", static_folder=None)
    pool = urllib3.connection_from_url(upstream, maxsize=16, block=True)

    @app.get("/<path:path>")
    def forward(path: str) -> Response:
        headers = {"Accept": request.headers.get("Accept", "*/*"), "Accept-Encoding": "identity"}
        got = pool.urlopen("GET", f"/{path}", headers=headers, decode_content=False)
        return Response(got.data, got.status, content_type=got.headers["Content-Type"])

    return app


def crowded_record(app_url: str) -> dict[str, list[dict[str, Any]]]:
    """A patient with 200 studies, each with its report."""
    first = date(2026, 11, 1)
    record: dict[str, list[dict[str, Any]]] = {
        "Patient": [patient_a()],
        "Endpoint": [wado_endpoint(f"{app_url}/imaging/crowded/dicom-web/demo")],
        "ImagingStudy": [],
        "DiagnosticReport": [],
    }
    for number in range(STUDIES):
        uid, study_id = f"2.25.9{number:04}", f"study-{number}"
        started = f"{first - timedelta(days=17 * number)}T09:30:00+00:00"
        record["ImagingStudy"].append(imaging_study(uid, study_id=study_id, started=started))
        record["DiagnosticReport"].append(report_on(study_id) | {"id": f"report-{number}"})
    return record


def fake_ehr(port: int, app_url: str) -> Flask:
    """An EHR whose patient has 200 studies. Its answers cost little, so the list's own work shows."""
    smart_actors.APP = app_url  # the registered redirect URI of this run
    ehr = FakeEhr(base_url=f"http://127.0.0.1:{port}", fhir=crowded_record(app_url))
    return ehr.app()


def main() -> None:
    """Serves one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("static", "proxy", "fake-ehr"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--upstream", default="")
    parser.add_argument("--app-url", default="")
    told = parser.parse_args()
    makers = {
        "static": lambda: static(told.length),
        "proxy": lambda: proxy(told.upstream),
        "fake-ehr": lambda: fake_ehr(told.port, told.app_url),
    }
    # The fake EHR keeps codes and tokens in memory, so it is one process.
    workers = 1 if told.what == "fake-ehr" else 2
    serve(makers[told.what], ServerSettings(host="127.0.0.1", port=told.port, workers=workers))


if __name__ == "__main__":
    main()
