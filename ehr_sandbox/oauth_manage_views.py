"""The management page: which apps hold access for this user, and ending it."""

import time

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from ehr_sandbox.oauth_context import Grant
from ehr_sandbox.oauth_faults import PageFault
from ehr_sandbox.oauth_pages import (
    error_page,
    patient_line,
    people,
    refuse_cross_site_post,
    refuse_stray_requests,
    remembered_user,
    scope_lines,
    secure_page,
    sign_in,
    sign_out,
    user_label,
)
from ehr_sandbox.services import SandboxServices, sandbox

blueprint = Blueprint("manage", __name__, url_prefix="/auth", template_folder="templates")
blueprint.before_request(refuse_stray_requests)
blueprint.after_request(secure_page)


@blueprint.errorhandler(PageFault)
def answer_page_fault(fault: PageFault) -> ResponseReturnValue:
    """A readable page."""
    return error_page(fault.description)


@blueprint.get("/manage")
def manage() -> ResponseReturnValue:
    """The live grants of the signed-in user, or the sign-in page."""
    services = sandbox()
    user = remembered_user(services)
    if user is None:
        return render_template("auth/sign_in.html", people=people(services), client_name=None, pending=None)
    grants = services.authorization.records.live_grants_of(user, time.time())
    rows = [_row(services, grant) for grant in grants]
    return render_template("auth/manage.html", user=user_label(services, user), grants=rows)


@blueprint.post("/manage")
def change() -> ResponseReturnValue:
    """Sign in or out, or end a grant of one's own."""
    refuse_cross_site_post()
    services = sandbox()
    match request.form.get("action"):
        case "sign-in":
            sign_in(services, request.form.get("user", ""))
        case "sign-out":
            sign_out()
        case "revoke":
            _revoke(services, request.form.get("grant", ""))
        case _:
            raise PageFault("The page sent an unknown answer.")
    return redirect(url_for("manage.manage"), code=303)


def _revoke(services: SandboxServices, grant_id: str) -> None:
    grant = services.authorization.records.live_grant(grant_id)
    if grant is None or grant.user != remembered_user(services):
        raise PageFault("This access is not yours, or has ended already.")
    services.authorization.records.revoke_grant(grant_id, time.time())


def _row(services: SandboxServices, grant: Grant) -> dict[str, object]:
    client = services.settings.client(grant.client_id)
    patient = services.store.read("Patient", grant.context.patient) if grant.context.patient else None
    return {
        "id": grant.grant_id,
        "client_name": client.name if client else grant.client_id,
        "patient": patient_line(patient) if patient else None,
        "rights": scope_lines(grant.scope),
        "since": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(grant.created_at)),
    }
