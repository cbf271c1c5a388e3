"""A session over HTTP: the token's handover, sign-out, and handing the session to a new window.

The id in the path is never enough: the browser that opened the session must ask (DESIGN §7). Requests that change something
must come from our own pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.errors import UpstreamError
from fhir_imaging.uids import is_uid
from smart_app.active_session import ActiveSession
from smart_app.browser_binding import bind, binding_of
from smart_app.explanations import EXPLANATIONS, ExplainedRefusal, Reason
from smart_app.pages import page
from smart_app.services import SmartAppServices
from smart_app.session_tokens import LiveSession, SessionTokens


def add_session_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers what ends a session or hands it to another window."""

    @blueprint.post("/s/<session_id>/logout")
    def logout(session_id: str) -> AnyResponse:
        """Ends the session: tokens are revoked at the EHR and wiped here."""
        require_own_page(services)
        own_session(services, session_id)
        SessionTokens(services).end(session_id)
        return page(services, "smart/signed_out.html")

    @blueprint.post("/s/<session_id>/window-ticket")
    def window_ticket(session_id: str) -> Response:
        """A one-use ticket for a new window, which does not share a frame's partitioned cookie."""
        require_own_page(services)
        own_session(services, session_id)
        return _uncached(jsonify(ticket=services.tickets.issue(session_id, now=services.now())))

    @blueprint.post("/s/<session_id>/window/<study_instance_uid>")
    def window(session_id: str, study_instance_uid: str) -> AnyResponse:
        """Opens the viewer page in the new window that brings the ticket in its form."""
        require_own_page(services)
        deep = {name: request.form.get(name) for name in ("series", "instance")}
        return redirect_with_ticket(services, session_id, viewer_address(session_id, study_instance_uid, deep))


def add_token_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers what scripts ask: JSON answers, never a page."""

    @blueprint.post("/s/<session_id>/token")
    def token(session_id: str) -> Response:
        """The access token for our own viewer page; renewed when due or when a server refused the current one."""
        try:
            require_own_page(services)
            live = live_session(services, session_id, was_refused=_was_refused())
        except ExplainedRefusal as refusal:
            status = 403 if refusal.reason is Reason.NOT_SAME_ORIGIN else 401
            return _uncached(_refused_json(refusal, status))
        except UpstreamError:
            return _uncached(_json_error("temporarily_unavailable", EXPLANATIONS[Reason.EHR_UNAVAILABLE].in_words().what, 503))
        left = live.session.token_expires_at - services.now()
        return _uncached(jsonify(access_token=live.access_token, expires_in=max(left, 1)))

    @blueprint.get("/s/<session_id>/state")
    def state(session_id: str) -> Response:
        """Whether the session still lives, for pages that would otherwise show images after its end."""
        try:
            session = own_session(services, session_id)
        except ExplainedRefusal as refusal:
            return _uncached(_refused_json(refusal, 401))
        now = services.now()
        left = session.session_expires_at - now if session.refresh_token else session.token_expires_at - now
        return _uncached(jsonify(alive=session.is_living(now), seconds_left=max(left, 0)))


def redirect_with_ticket(services: SmartAppServices, session_id: str, address: str) -> AnyResponse:
    """To an address of the session, in a window whose form brings a ticket; from then on the window's browser may use it."""
    if not services.tickets.redeem(request.form.get("ticket", ""), session_id, now=services.now()):
        raise ExplainedRefusal(Reason.SESSION_UNKNOWN)
    response = redirect(address, 303)
    binding = binding_of(request, services.store.sealer, services.settings.origin) or bind(
        response, services.store.sealer, services.settings.origin
    )
    SessionTokens(services).change(session_id, lambda session: session.shared_with(binding))
    return response


def own_session(services: SmartAppServices, session_id: str) -> ActiveSession:
    """The session, if this browser opened it. Unknown and foreign sessions are answered alike."""
    session = services.sessions.find(session_id, now=services.now())
    binding = binding_of(request, services.store.sealer, services.settings.origin)
    if session is None or binding is None or not session.belongs_to(binding):
        raise ExplainedRefusal(Reason.SESSION_UNKNOWN)
    return session


def live_session(services: SmartAppServices, session_id: str, *, was_refused: bool = False) -> LiveSession:
    """This browser's session with a token that lives, renewed if due."""
    own_session(services, session_id)
    return SessionTokens(services).live(session_id, was_refused=was_refused)


def require_own_page(services: SmartAppServices) -> None:
    """The request must come from a page of our own origin; browsers say so in headers that no page can forge.

    Our pages send no referrer, and then browsers write ``Origin: null`` on forms: it counts only beside ``Sec-Fetch-Site``.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if site is not None:
        is_own = site == "same-origin" and origin in (None, "null", services.settings.origin)
    else:
        is_own = origin == services.settings.origin
    if not is_own:
        raise ExplainedRefusal(Reason.NOT_SAME_ORIGIN)


def viewer_address(session_id: str, study_instance_uid: str, deep: Mapping[str, str | None]) -> str:
    """The viewer page of one study, at one slice where valid UIDs name it."""
    if not is_uid(study_instance_uid):
        raise ExplainedRefusal(Reason.NOT_A_STUDY)
    query = {name: uid for name, uid in deep.items() if uid and is_uid(uid)}
    path = url_for(".viewer", session_id=session_id, study_instance_uid=study_instance_uid)
    return f"{path}?{urlencode(query)}" if query else path


def _was_refused() -> bool:
    body = request.get_json(silent=True)
    return isinstance(body, dict) and body.get("refused") is True


def _refused_json(refusal: ExplainedRefusal, status: int) -> Response:
    return _json_error(refusal.reason.value, EXPLANATIONS[refusal.reason].in_words().what, status)


def _json_error(code: str, description: str, status: int) -> Response:
    response = jsonify(error=code, error_description=description)
    response.status_code = status
    return response


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
