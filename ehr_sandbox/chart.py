"""The chart of the sandbox EHR: its composition from settings, records and the authorization server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

from flask import Blueprint

from ehr_sandbox.arrivals import Arrivals
from ehr_sandbox.authorization import Authorization, UnknownClient
from ehr_sandbox.cds_keys import ClientIdentity, load_or_make_key
from ehr_sandbox.chart_actions import CardDesk
from ehr_sandbox.chart_bookings import BookingDesk
from ehr_sandbox.chart_contexts import ChartMoment
from ehr_sandbox.chart_hooks import FhirGrant, HookFirer
from ehr_sandbox.chart_launch import ChartLaunch, LaunchDesk
from ehr_sandbox.chart_order_desk import OrderDesk
from ehr_sandbox.chart_parts import ChartParts
from ehr_sandbox.chart_records import ChartRecords
from ehr_sandbox.chart_views import ChartViews
from ehr_sandbox.faults import Faults
from ehr_sandbox.hook_client import HookClient
from ehr_sandbox.launch_variants import AS_USUAL
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.services import SandboxServices

CDS_CLIENT_KEY_FILE = "cds-client-key.pem"


def utc_now() -> datetime:
    return datetime.now(UTC)


def create_chart_blueprint(
    services: SandboxServices,
    *,
    clock: Callable[[], datetime] = utc_now,
    service_timeout_s: float = 8.0,
) -> Blueprint:
    """The chart's blueprint. Makes the CDS client key in the state directory on first use."""
    settings, authorization = services.settings, services.authorization

    def local_clock() -> datetime:
        return clock().astimezone(settings.zone)

    app_launch_url = f"{settings.app_url}/launch"
    key = load_or_make_key(settings.state_dir / CDS_CLIENT_KEY_FILE)
    client = HookClient(
        discovery_url=settings.cds_services_url,
        identity=ClientIdentity(key=key, issuer=settings.base_url, jku=f"{settings.base_url}/cds-client/jwks.json"),
        clock=clock,
        timeout_s=service_timeout_s,
    )
    records = ChartRecords(services.store, settings.zone)
    firer = HookFirer(
        client=client,
        records=records,
        grant=_granter(authorization, app_launch_url),
        fhir_base=settings.fhir_base,
    )
    parts = ChartParts(
        base_url=settings.base_url,
        app_launch_url=app_launch_url,
        standalone_url=f"{app_launch_url}/standalone?{urlencode({'iss': settings.fhir_base})}",
        user=settings.default_user,
        records=records,
        firer=firer,
        desk=CardDesk(client=client, orders=records, fhir_base=settings.fhir_base, clock=clock),
        orders=OrderDesk(records=records, user=settings.default_user, clock=local_clock),
        bookings=BookingDesk(records=records, clock=local_clock),
        launches=LaunchDesk(clients=settings.clients, fhir_base=settings.fhir_base, issue=_launch_issuer(authorization)),
        key=key,
        clock=local_clock,
        arriving=Arrivals(settings.state_dir).now,
    )
    return ChartViews(parts).blueprint()


def _granter(authorization: Authorization, app_launch_url: str) -> Callable[[ChartMoment, str], FhirGrant | None]:
    """Issues tokens to the registered app, whose makers run the CDS service; nobody else gets one."""

    def grant(moment: ChartMoment, scope: str) -> FhirGrant | None:
        try:
            subject = authorization.client_of_launch_url(app_launch_url).client_id
        except UnknownClient:
            return None
        context = LaunchContext(patient=moment.patient_id, encounter=moment.encounter_id, user=moment.user)
        issued = authorization.issue_token(subject, scope, context)
        return FhirGrant(
            access_token=issued.access_token,
            lifetime_s=issued.expires_in,
            scope=issued.scope,
            subject=subject,
        )

    return grant


def _meant_for(patient_id: str, faults: Faults) -> Faults:
    """Another patient must be another one than this."""
    return replace(faults, refresh_patient="demo-a") if faults.refresh_patient == patient_id else faults


def _launch_issuer(authorization: Authorization) -> Callable[[str, ChartLaunch], str]:
    usual = authorization.faults.discovery

    def issue(client_id: str, launch: ChartLaunch) -> str:
        study = ({"reference": f"ImagingStudy/{launch.study_id}"},) if launch.study_id else ()
        variant = launch.variant or AS_USUAL
        authorization.faults.discovery = variant.discovery or usual
        context = LaunchContext(
            patient=launch.moment.patient_id,
            encounter=launch.moment.encounter_id,
            user=launch.moment.user,
            app_context=launch.app_context,
            fhir_context=launch.fhir_context or study,
            need_patient_banner=variant.banner,
            faults=_meant_for(launch.moment.patient_id, variant.faults),
        )
        return authorization.issue_launch(client_id, context)

    return issue
