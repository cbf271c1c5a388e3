"""The authorization endpoint and its pages: sign-in, patient picker, consent."""

import time
import uuid
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue

from ehr_sandbox.oauth_context import Grant, PendingAuthorization
from ehr_sandbox.oauth_faults import PageFault, RedirectFault
from ehr_sandbox.oauth_pages import (
    error_page,
    page_for,
    refuse_cross_site_post,
    refuse_stray_requests,
    remembered_user,
    secure_page,
    sign_in,
    sign_out,
    user_exists,
)
from ehr_sandbox.oauth_requests import Step, client_of_request, next_step, read_request, with_patient, with_user
from ehr_sandbox.services import SandboxServices, sandbox

blueprint = Blueprint("authorize", __name__, url_prefix="/auth", template_folder="templates")
blueprint.before_request(refuse_stray_requests)
blueprint.after_request(secure_page)

PENDING_LIFETIME_S = 600


@blueprint.errorhandler(PageFault)
def answer_page_fault(fault: PageFault) -> ResponseReturnValue:
    """A readable page; the browser is sent nowhere."""
    return error_page(fault.description)


@blueprint.route("/authorize", methods=["GET", "POST"])
def authorize() -> ResponseReturnValue:
    """SMART authorization request, by GET with a query or by POST with a form."""
    services = sandbox()
    sent = request.args if request.method == "GET" else request.form
    repeated = [name for name, values in sent.lists() if len(values) > 1]
    if repeated or (request.method == "POST" and request.args):
        raise PageFault("The app's request names a parameter twice or in two places.")
    parameters = sent.to_dict()
    client = client_of_request(services.settings, parameters)
    try:
        pending = read_request(services.authorization, client, parameters)
    except RedirectFault as fault:
        return _refused(parameters["redirect_uri"], parameters.get("state"), fault)
    user = remembered_user(services)
    if pending.context.user is None and user is not None:
        pending = with_user(pending, user)
    if next_step(pending) is Step.DONE:
        return _granted(services, pending)
    pending_id = services.authorization.records.add_pending(pending, time.time() + PENDING_LIFETIME_S)
    return page_for(services, pending_id, pending)


@blueprint.get("/auth.css")
def stylesheet() -> ResponseReturnValue:
    """The style of these pages."""
    return render_template("auth/auth.css"), {"Content-Type": "text/css; charset=utf-8"}


@blueprint.post("/continue")
def continue_request() -> ResponseReturnValue:
    """What the user answered on one of the pages."""
    refuse_cross_site_post()
    services = sandbox()
    pending_id = request.form.get("pending", "")
    pending = services.authorization.records.read_pending(pending_id, time.time())
    if pending is None:
        raise PageFault("This sign-in has expired or was answered already. Start again from the app.")
    match request.form.get("action"):
        case "search":
            return page_for(services, pending_id, pending, search=request.form.get("name", ""))
        case "sign-in":
            pending = with_user(pending, sign_in(services, request.form.get("user", "")))
        case "sign-out" if not pending.is_ehr_launch:
            sign_out()
            pending = _without_user(pending)
        case "choose-patient" if next_step(pending) is Step.PICK_PATIENT:
            pending = with_patient(pending, _existing_patient(services))
        case "allow" if next_step(pending) is Step.CONSENT:
            return _answer_once(services, pending_id, pending)
        case "deny":
            return _deny(services, pending_id, pending)
        case _:
            raise PageFault("The page sent an answer that does not fit the step.")
    services.authorization.records.update_pending(pending_id, pending)
    if next_step(pending) is Step.DONE:
        return _answer_once(services, pending_id, pending)
    return page_for(services, pending_id, pending)


def _existing_patient(services: SandboxServices) -> str:
    patient = request.form.get("patient", "")
    if not user_exists(services, f"Patient/{patient}"):
        raise PageFault("There is no such patient in this EHR.")
    return patient


def _without_user(pending: PendingAuthorization) -> PendingAuthorization:
    return replace(pending, context=replace(pending.context, user=None, patient=None))


def _answer_once(services: SandboxServices, pending_id: str, pending: PendingAuthorization) -> ResponseReturnValue:
    if not services.authorization.records.end_pending(pending_id):
        raise PageFault("This sign-in was answered already.")
    return _granted(services, pending)


def _deny(services: SandboxServices, pending_id: str, pending: PendingAuthorization) -> ResponseReturnValue:
    services.authorization.records.end_pending(pending_id)
    fault = RedirectFault("access_denied", "the user did not allow the app")
    return _refused(pending.redirect_uri, pending.state, fault)


def _granted(services: SandboxServices, pending: PendingAuthorization) -> ResponseReturnValue:
    grant = Grant(
        grant_id=str(uuid.uuid4()),
        client_id=pending.client_id,
        scope=pending.scope,
        context=pending.context,
        created_at=time.time(),
        nonce=pending.nonce,
    )
    records = services.authorization.records
    records.add_grant(grant)
    expires_at = time.time() + services.settings.code_lifetime_s
    code = records.add_code(grant.grant_id, pending.redirect_uri, pending.code_challenge, expires_at)
    return _redirected(pending.redirect_uri, {"code": code, "state": pending.state})


def _refused(redirect_uri: str, state: str | None, fault: RedirectFault) -> ResponseReturnValue:
    answer = {"error": fault.error, "error_description": fault.description, "error_uri": fault.uri, "state": state}
    return _redirected(redirect_uri, answer)


def _redirected(redirect_uri: str, answer: dict[str, str | None]) -> ResponseReturnValue:
    parts = urlsplit(redirect_uri)
    added = [(name, value) for name, value in answer.items() if value is not None]
    query = urlencode([*parse_qsl(parts.query, keep_blank_values=True), *added])
    # 303: the browser must not repeat a POST of the consent form at the app.
    return redirect(urlunsplit((parts.scheme, parts.netloc, parts.path, query, "")), code=303)
