"""What the product is measured against, on its own gunicorn: a static answer, an endpoint that allows everything, fake EHRs.

``python -m tests.benchmarks.servers static|decision|fake-ehr …`` serves until it is stopped.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, jsonify, request

from imaging_cds.server import ServerSettings, serve
from tests.contract import smart_actors
from tests.contract.smart_actors import FakeEhr, imaging_study, patient_a, report_on, wado_endpoint

STUDIES = (10, 100, 1000)
"""How many studies the crowded patients have, each at an EHR of their own."""
PAGE = 50
"""Entries of one page where the caller names no number."""


def static(length: int) -> Flask:
    """Reads what is posted and answers fixed JSON of the given length: what any Flask view costs here."""
    app = Flask("bench_static", static_folder=None)
    body = b'{"cards":"' + b"x" * (length - 12) + b'"}'

    @app.post("/static")
    def answer() -> Response:
        request.get_data(cache=False)
        return Response(body, mimetype="application/json")

    return app


def decision() -> Flask:
    """Says yes to everything: what being asked costs a server, whatever it looks at."""
    app = Flask("bench_decision", static_folder=None)

    @app.get("/decision")
    def allow() -> Response:
        return Response(status=204)

    return app


def crowded_record(app_url: str, studies: int) -> dict[str, list[dict[str, Any]]]:
    """A patient with so many studies, each with its report."""
    first = date(2026, 11, 1)
    record: dict[str, list[dict[str, Any]]] = {
        "Patient": [patient_a()],
        "Endpoint": [wado_endpoint(f"{app_url}/imaging/crowded-{studies}/dicom-web/demo")],
        "ImagingStudy": [],
        "DiagnosticReport": [],
    }
    for number in range(studies):
        uid, study_id = f"2.25.9{number:04}", f"study-{number}"
        started = f"{first - timedelta(days=7 * number)}T09:30:00+00:00"
        record["ImagingStudy"].append(imaging_study(uid, study_id=study_id, started=started))
        record["DiagnosticReport"].append(report_on(study_id) | {"id": f"report-{number}"})
    return record


def fake_ehr(port: int, app_url: str, studies: int) -> Flask:
    """An EHR of one crowded patient that answers in pages. Its answers cost little, so the list's own work shows."""
    smart_actors.APP = app_url  # the registered redirect URI of this run
    ehr = FakeEhr(base_url=f"http://127.0.0.1:{port}", fhir=crowded_record(app_url, studies))
    app = ehr.app()

    @app.before_request
    def in_pages() -> Response | None:
        """A search of studies or reports: the asked page of it, with a link to the next."""
        resource_type = request.path.removeprefix("/fhir/")
        found = ehr.fhir.get(resource_type, [])
        if resource_type not in ("ImagingStudy", "DiagnosticReport") or "identifier" in request.args:
            return None
        begin, count = request.args.get("page", 0, type=int), request.args.get("_count", PAGE, type=int)
        entries = [{"fullUrl": f"{ehr.fhir_base}/{resource_type}/{one['id']}", "resource": one} for one in found]
        shown = entries[begin : begin + count]
        if "_include" in request.args:
            shown += [{"resource": one, "search": {"mode": "include"}} for one in ehr.fhir["Endpoint"]]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": shown}
        if begin + count < len(found):
            more = urlencode({**request.args, "page": begin + count})
            bundle["link"] = [{"relation": "next", "url": f"{ehr.fhir_base}/{resource_type}?{more}"}]
        return jsonify(bundle)

    return app


def main() -> None:
    """Serves one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("static", "decision", "fake-ehr"))
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--app-url", default="")
    parser.add_argument("--studies", type=int, default=0)
    told = parser.parse_args()
    makers = {
        "static": lambda: static(told.length),
        "decision": decision,
        "fake-ehr": lambda: fake_ehr(told.port, told.app_url, told.studies),
    }
    # The fake EHR keeps codes and tokens in memory, so it is one process.
    workers = 1 if told.what == "fake-ehr" else 2
    serve(makers[told.what], ServerSettings(host="127.0.0.1", port=told.port, workers=workers))


if __name__ == "__main__":
    main()
