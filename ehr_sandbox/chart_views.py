"""The chart over HTTP: pages, the fragments that they load, and the posts of their buttons."""

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, abort, jsonify, render_template, request
from werkzeug.exceptions import HTTPException

from ehr_sandbox.chart_actions import Outcome
from ehr_sandbox.chart_contexts import patient_view_context
from ehr_sandbox.chart_launch import ChartLaunch, NotRegistered
from ehr_sandbox.chart_medication_views import MedicationViews
from ehr_sandbox.chart_openings import ChartOpening, Place, UnknownCard, UnknownOpening
from ehr_sandbox.chart_order_desk import NotPossible
from ehr_sandbox.chart_order_views import OrderViews
from ehr_sandbox.chart_parts import ChartParts, Firing, fired, hook_is
from ehr_sandbox.chart_prefetch import QueryFailed
from ehr_sandbox.chart_summary import current_encounter, read_banner
from ehr_sandbox.chart_visit_views import VisitViews
from ehr_sandbox.chart_ways import LaunchWays, NoSuchWay
from ehr_sandbox.chart_web import (
    add_security_headers,
    content_security_policy,
    new_static_version,
    position_field,
    read_json_object,
    refuse_foreign_requests,
    text_field,
)
from ehr_sandbox.demo_stories import STORIES
from ehr_sandbox.launch_variants import grouped_variants
from ehr_sandbox.wire_log import pretty

MAX_SEARCH_CHARACTERS = 100
LOOK_AGAIN_S = 2


class ChartViews:
    """The views, bound to their parts; `blueprint()` gives them their routes."""

    def __init__(self, parts: ChartParts) -> None:
        self._parts = parts
        self._policy = content_security_policy(parts.launches.origins())
        self._ways = LaunchWays(records=parts.records)
        self._static_version = new_static_version()

    def blueprint(self) -> Blueprint:
        chart = Blueprint(
            "chart", __name__, template_folder="templates", static_folder="static", static_url_path="/chart-static"
        )
        chart.before_request(lambda: refuse_foreign_requests(self._parts.base_url))
        chart.before_request(self._asked_to_wait)
        chart.after_request(lambda response: add_security_headers(response, self._policy))
        chart.context_processor(self._template_values)
        chart.add_app_template_filter(pretty, "pretty")
        for rule, method, view in (
            ("/", "GET", self.patients),
            ("/", "POST", self.search_patients),
            ("/patients/<patient_id>", "GET", self.open_chart),
            ("/patients/<patient_id>/hooks/patient-view", "POST", self.fire_patient_view),
            ("/patients/<patient_id>/cards/accept", "POST", self.accept),
            ("/patients/<patient_id>/cards/dismiss", "POST", self.dismiss),
            ("/patients/<patient_id>/launches", "POST", self.launch),
            ("/patients/<patient_id>/wire/<opening_id>", "GET", self.wire),
            ("/arriving", "GET", self.arriving),
            ("/cds-client/jwks.json", "GET", self.jwks),
        ):
            chart.add_url_rule(rule, view_func=view, methods=[method])
        further = (OrderViews(self._parts), MedicationViews(self._parts), VisitViews(self._parts))
        for rule, method, work in (route for views in further for route in views.routes()):
            chart.add_url_rule(rule, view_func=work, methods=[method])
        chart.register_error_handler(UnknownOpening, _gone)
        chart.register_error_handler(UnknownCard, _answered_already)
        chart.register_error_handler(NotPossible, _not_possible)
        chart.register_error_handler(QueryFailed, _unreadable)
        chart.register_error_handler(HTTPException, _refused)
        return chart

    def patients(self) -> str:
        return self._patient_list("")

    def search_patients(self) -> str:
        """A search by POST, so that a patient's name stands in no URL and no log."""
        return self._patient_list(request.form.get("words", "").strip()[:MAX_SEARCH_CHARACTERS])

    def open_chart(self, patient_id: str) -> str:
        """The chart without its guidance, which the page fetches once it is painted."""
        records = self._parts.records
        patient = records.read("Patient", patient_id)
        if patient is None:
            abort(404, "There is no such patient here.")
        encounter_id = current_encounter(records.encounters(patient_id))
        opening = self._parts.openings.open(patient_id, encounter_id)
        return render_template(
            "chart/chart.html",
            banner=read_banner(patient, self._parts.clock().date()),
            opening=opening,
            sections=records.sections(patient_id),
            orders=records.orders(patient_id),
            users=self._ways.users(patient_id),
            variants=grouped_variants(),
            story=STORIES.get(patient_id, ""),
            app_launch_url=self._parts.app_launch_url,
            standalone_url=self._parts.standalone_url,
        )

    def fire_patient_view(self, patient_id: str) -> Response:
        """Fires patient-view for an opened chart."""
        opening = self._parts.opening(read_json_object(), patient_id)
        context = patient_view_context(self._parts.moment(opening))
        firing = Firing(listens=hook_is("patient-view"), context=context, place=Place.GUIDANCE, subject="patient")
        return fired(self._parts, opening, firing)

    def accept(self, patient_id: str) -> Response:
        fields = read_json_object()
        opening, key = self._parts.opening(fields, patient_id), text_field(fields, "card")
        outcome = self._parts.desk.accept(opening, key, position_field(fields, "suggestion"))
        return self._answered(opening, key, outcome)

    def dismiss(self, patient_id: str) -> Response:
        fields = read_json_object()
        opening, key = self._parts.opening(fields, patient_id), text_field(fields, "card")
        reason = position_field(fields, "reason") if "reason" in fields else None
        outcome = self._parts.desk.dismiss(opening, key, reason, text_field(fields, "comment"))
        return self._answered(opening, key, outcome)

    def launch(self, patient_id: str) -> Response:
        """Registers a launch and answers with its URL: of a card's smart link, or of the imaging app."""
        fields = read_json_object()
        opening = self._parts.opening(fields, patient_id)
        url, launch = self._parts.app_launch_url, ChartLaunch(moment=self._parts.moment(opening))
        if "card" in fields:
            links = opening.card(text_field(fields, "card")).card.links
            position = position_field(fields, "link")
            if not 0 <= position < len(links) or not links[position].is_smart:
                abort(400)
            url, launch = links[position].url, replace(launch, app_context=links[position].app_context)
        elif "study" in fields:
            launch = replace(launch, study_id=self._own_study(patient_id, text_field(fields, "study")))
        try:
            launch = self._ways.changed(launch, text_field(fields, "user"), text_field(fields, "variant"))
            launched = self._parts.launches.launch_url(url, launch)
        except NoSuchWay:
            abort(400, "The app cannot be opened in this way.")
        except NotRegistered:
            abort(403, "This app is not registered with the EHR and cannot be launched.")
        return jsonify(url=launched)

    def wire(self, patient_id: str, opening_id: str) -> str:
        opening = self._parts.openings.find(opening_id, patient_id)
        return render_template("chart/wire.html", exchanges=tuple(reversed(opening.log.exchanges())))

    def jwks(self) -> Response:
        """The public key with which CDS services check this EHR's client JWTs (R37)."""
        response = jsonify(self._parts.key.public_jwks())
        response.headers["Cache-Control"] = "public, max-age=300"
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    def arriving(self) -> Response:
        """How far the preparation has come, for the page that waits for it."""
        now = self._parts.arriving()
        return jsonify(over=True) if now is None else jsonify(over=False, step=now.step, done=now.done, total=now.total)

    def _asked_to_wait(self) -> Response | None:
        """A page in place of list and chart while whoever fills this EHR is at it: half of a record is taken for all of it."""
        is_for_people = request.endpoint in ("chart.patients", "chart.search_patients", "chart.open_chart")
        now = self._parts.arriving() if is_for_people else None
        if now is None:
            return None
        page = render_template("chart/waiting.html", arriving=now)
        return Response(page, status=503, headers={"Retry-After": str(LOOK_AGAIN_S)}, mimetype="text/html")

    def _patient_list(self, words: str) -> str:
        today = self._parts.clock().date()
        banners = [read_banner(patient, today) for patient in self._parts.records.patients(words)]
        return render_template("chart/patients.html", banners=banners, words=words)

    def _own_study(self, patient_id: str, study_id: str) -> str:
        if self._parts.records.owner_of(f"ImagingStudy/{study_id}") != patient_id:
            abort(404, "This imaging study is not in the patient's record.")
        return study_id

    def _answered(self, opening: ChartOpening, key: str, outcome: Outcome) -> Response:
        html = render_template("chart/card.html", state=opening.state(key), outcome=outcome)
        form = "" if not outcome.changes_form else "changed" if opening.composition else "gone"
        return jsonify(html=html, text=outcome.text, done=outcome.was_done, form=form)

    def _template_values(self) -> dict[str, Any]:
        return {"static_version": self._static_version, "may_launch": self._parts.launches.may_launch}


def _gone(_: UnknownOpening) -> tuple[Response, int]:
    return jsonify(text="This chart is no longer open in the EHR. Reload the page to open it again."), 410


def _answered_already(_: UnknownCard) -> tuple[Response, int]:
    return jsonify(text="This card is no longer shown. Refresh the guidance."), 409


def _not_possible(refusal: NotPossible) -> tuple[Response, int]:
    return jsonify(text=str(refusal)), 409


def _unreadable(_: QueryFailed) -> tuple[Any, int]:
    return _explained(502, "The patient's record could not be read.")


def _refused(refusal: HTTPException) -> tuple[Any, int]:
    return _explained(refusal.code or 500, refusal.description or "The EHR could not do that.")


def _explained(status: int, text: str) -> tuple[Any, int]:
    """To the page's script as JSON, to a person as a page."""
    if request.method == "POST" and request.path != "/":
        return jsonify(text=text), status
    return render_template("chart/problem.html", status=status, text=text), status
