"""The launch over HTTP: ``/launch``, ``/launch/go``, ``/launch/standalone``, ``/open/…`` and ``/callback``.

Spec: SMART App Launch 2.2 (A4-A21); smart-launch.md §4: the cookie is probed before the launch handle is spent.
"""

from __future__ import annotations

import secrets
from urllib.parse import urlencode

from flask import Blueprint, Response, jsonify, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from fhir_imaging.errors import UpstreamError
from fhir_imaging.uids import is_uid
from smart_app.browser_binding import bind, binding_of
from smart_app.callback import Callback, CallbackParameters
from smart_app.explanations import ExplainedRefusal, Reason
from smart_app.launch import (
    LaunchKind,
    LaunchRefusal,
    LaunchRequest,
    PendingLaunch,
    accept_ehr_launch,
    accept_standalone_launch,
    asks_identity,
    scopes_for,
)
from smart_app.launch_again import answer_again, handle_of
from smart_app.pages import explained, page
from smart_app.services import SmartAppServices
from smart_app.sessions import purge_expired
from smart_app.tokens import AuthorizationParameters, AuthorizationRequest

FRAMES = ("iframe", "frame", "object", "embed")


def add_launch_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the routes of a launch."""

    @blueprint.get("/launch")
    def launch() -> AnyResponse:
        """The launch URL. Nothing but iss and launch counts; a start without either shows what the app is."""
        if not request.args.get("iss") and not request.args.get("launch"):
            return redirect(url_for(".index"), 303)
        accepted = _accepted(accept_ehr_launch(services.ehrs, request.args.get("iss"), request.args.get("launch")))
        return _probed(services, {"iss": accepted.iss, "launch": accepted.launch or ""})

    @blueprint.get("/launch/standalone")
    def standalone() -> AnyResponse:
        """A launch without a chart: the EHR asks for the patient."""
        study = request.args.get("study") or None
        accepted = _accepted(accept_standalone_launch(services.ehrs, request.args.get("iss"), study))
        return _probed(services, {"iss": accepted.iss, "standalone": "1", **({"study": study} if study else {})})

    @blueprint.get("/launch/go")
    def go() -> AnyResponse:
        """Begins the sign-in, now that the browser has shown whether it keeps the cookie."""
        if is_fetched_ahead():
            return _not_ahead()
        accepted = _accepted(_from_query(services))
        binding = binding_of(request, services.store.sealer, services.settings.origin)
        if binding is not None and (answer := answer_again(services, accepted, binding)) is not None:
            return _not_kept(answer)
        # Browsers say of each navigation whether it fills a frame; those that do not are let through, as ever.
        is_refused_here = accepted.ehr.sign_in_refuses_frames and request.headers.get("Sec-Fetch-Dest") in FRAMES
        if binding is None or is_refused_here:
            again = _first_step(urlencode(list(request.args.items(multi=True))))
            return page(
                services,
                "smart/new_window.html",
                ehr=accepted.ehr,
                status=403,
                again=again,
                sign_in_refuses_frames=is_refused_here,
            )
        return begin(services, accepted, binding)

    @blueprint.get("/callback")
    def callback() -> AnyResponse:
        """The redirect URI. A reload, a second callback or the back button finds what the first one made."""
        if is_fetched_ahead():
            return _not_ahead()
        parameters = CallbackParameters.of(request.args, binding_of(request, services.store.sealer, services.settings.origin))
        session_id, path = Callback(services).complete(parameters)
        return redirect(url_for(".studies", session_id=session_id) if path is None else path, 303)


def add_landing_routes(blueprint: Blueprint, services: SmartAppServices) -> None:
    """Registers the pages that somebody reaches without a launch, and our public keys."""

    @blueprint.get("/")
    def index() -> Response:
        """What the app is, how to launch it, and what to register at an EHR."""
        return page(services, "smart/index.html")

    @blueprint.get("/open/<ehr_name>/<study_instance_uid>")
    def open_study(ehr_name: str, study_instance_uid: str) -> Response:
        """Where an absolute link of a card leads: names no patient, only the study to open after sign-in."""
        ehr = services.ehr(ehr_name)
        if ehr is None:
            raise ExplainedRefusal(Reason.UNKNOWN_EHR)
        if not is_uid(study_instance_uid):
            raise ExplainedRefusal(Reason.NOT_A_STUDY)
        return page(services, "smart/open.html", ehr=ehr, study_instance_uid=study_instance_uid)

    @blueprint.get("/.well-known/jwks.json")
    def jwks() -> Response:
        """Our public keys, for EHRs that authenticate the app by private_key_jwt (A25); two of a kind during a rotation."""
        response = jsonify(services.keys.jwks(services.now()))
        response.headers["Cache-Control"] = "public, max-age=300"
        return response


def begin(services: SmartAppServices, launch: LaunchRequest, binding: str) -> AnyResponse:
    """Remembers the launch under a fresh state and sends the browser to the EHR's sign-in."""
    try:
        asked = _authorization(services, launch, binding)
    except UpstreamError as error:
        raise explained(error, iss=launch.iss) from error
    if asked.form is None:
        response: AnyResponse = redirect(asked.url, 303)
    else:
        response = page(
            services, "smart/authorize_post.html", ehr=launch.ehr, leaves_by_form=True, url=asked.url, fields=asked.form
        )
    return _not_kept(response)


def _authorization(services: SmartAppServices, launch: LaunchRequest, binding: str) -> AuthorizationRequest:
    metadata = services.metadata.of(launch.iss)
    scopes, now = scopes_for(launch, metadata.capabilities), services.now()
    # Launches are rare enough, and frequent enough, to sweep by.
    purge_expired(services.store, now=now)
    pending = PendingLaunch(
        ehr=launch.ehr.name,
        iss=launch.iss,
        kind=launch.kind,
        code_verifier=secrets.token_urlsafe(48),
        nonce=secrets.token_urlsafe(24) if asks_identity(scopes) else None,
        binding=binding,
        scopes=scopes,
        created_at=now,
        study=launch.study,
        handle=handle_of(services, launch),
    )
    # Kept a little longer than it counts: somebody who comes too late is told so.
    state = services.pending.remember(pending, expires_at=now + 4 * services.settings.pending_lifetime_s)
    parameters = AuthorizationParameters(
        scope=scopes,
        state=state,
        aud=launch.iss,
        code_verifier=pending.code_verifier,
        launch=launch.launch if launch.kind is LaunchKind.EHR else None,
        nonce=pending.nonce,
    )
    return services.token_client(launch.ehr, metadata).authorization_request(parameters)


def is_fetched_ahead() -> bool:
    """Whether the browser only gets ready for a click: a launch handle or a code must not be spent for that."""
    return "prefetch" in request.headers.get("Sec-Purpose", request.headers.get("Purpose", ""))


def _not_ahead() -> Response:
    """Browsers drop what they fetched ahead when it fails, and ask again at the click."""
    response = Response("Not ahead of time.", 503, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    return response


def _from_query(services: SmartAppServices) -> LaunchRequest | LaunchRefusal:
    if request.args.get("standalone"):
        return accept_standalone_launch(services.ehrs, request.args.get("iss"), request.args.get("study") or None)
    return accept_ehr_launch(services.ehrs, request.args.get("iss"), request.args.get("launch"))


def _accepted(judged: LaunchRequest | LaunchRefusal) -> LaunchRequest:
    if isinstance(judged, LaunchRefusal):
        raise ExplainedRefusal(judged.reason, facts={"iss": request.args.get("iss", "(none)")[:500]})
    return judged


def _probed(services: SmartAppServices, query: dict[str, str]) -> AnyResponse:
    """Gives a browser without our cookie one, then sees at the next step whether it kept it."""
    response = _not_kept(redirect(f"{url_for('.go')}?{urlencode(query)}", 303))
    if binding_of(request, services.store.sealer, services.settings.origin) is None:
        bind(response, services.store.sealer, services.settings.origin)
    return response


def _not_kept(response: AnyResponse) -> AnyResponse:
    """A step of a launch: no cache keeps it and nobody learns its address."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _first_step(query: str) -> str:
    """The same launch from its beginning, so that a new window gets its own cookie."""
    path = url_for(".standalone") if request.args.get("standalone") else url_for(".launch")
    return f"{path}?{query}"
