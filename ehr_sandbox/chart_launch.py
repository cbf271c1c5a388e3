"""Launching SMART apps from the chart: only registered launch addresses, the context registered before the URL is made.

Spec: SMART App Launch 2.2 "EHR Launch" (A5); CDS Hooks 2.0 "Link" (R30): appContext goes to the authorization server,
never into the URL.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from ehr_sandbox.chart_contexts import ChartMoment
from ehr_sandbox.launch_variants import LaunchVariant
from ehr_sandbox.settings import RegisteredClient, origin_of


class NotRegistered(Exception):
    """A link to an app that may not be launched from this EHR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartLaunch:
    """The context of a launch. `study_id` is the id of an ImagingStudy that the app is to open (fhirContext, A29).

    `variant` is what goes wrong on purpose, `fhir_context` what it names.
    """

    moment: ChartMoment
    app_context: str | None = None
    study_id: str | None = None
    variant: LaunchVariant | None = None
    fhir_context: tuple[dict[str, str], ...] = ()


# Registers a launch for a client at the authorization server and returns its opaque handle.
LaunchIssuer = Callable[[str, ChartLaunch], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchDesk:
    """Makes launch URLs for the apps registered at this EHR; `fhir_base` is the `iss` of every launch."""

    clients: tuple[RegisteredClient, ...]
    fhir_base: str
    issue: LaunchIssuer

    def launch_url(self, url: str, launch: ChartLaunch) -> str:
        """The URL that opens the app in this chart's context. Raises NotRegistered."""
        client = self._client_of(url)
        handle = self.issue(client.client_id, launch)
        return with_launch(url, handle, self.fhir_base)

    def may_launch(self, url: str) -> bool:
        """Whether a smart link leads to a registered app; others are drawn without a button."""
        try:
            self._client_of(url)
        except NotRegistered:
            return False
        return True

    def origins(self) -> tuple[str, ...]:
        """Origins of the registered apps, which the chart may show in a frame."""
        return tuple(dict.fromkeys(origin_of(url) for client in self.clients for url in client.launch_urls))

    def _client_of(self, url: str) -> RegisteredClient:
        wanted = _without_query(url)
        for client in self.clients:
            if wanted in map(_without_query, client.launch_urls):
                return client
        raise NotRegistered


def with_launch(url: str, handle: str, iss: str) -> str:
    """The launch URL with `launch` and `iss` appended and encoded; a query that is there stays, a fragment goes."""
    parts = urlsplit(url)
    kept = [(name, value) for name, value in _query(parts.query) if name not in ("launch", "iss")]
    query = urlencode([*kept, ("launch", handle), ("iss", iss)])
    return urlunsplit((parts.scheme, parts.netloc, parts.path, query, ""))


def _query(query: str) -> Iterable[tuple[str, str]]:
    return parse_qsl(query, keep_blank_values=True)


def _without_query(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
