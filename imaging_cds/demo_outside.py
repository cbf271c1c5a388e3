"""Asks the servers named by ``--fhir`` and ``--pacs`` once before the demo starts, so that a wrong address is said in words."""

from __future__ import annotations

import requests

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamError, UpstreamRefused
from imaging_cds.demo_plan import PASSWORD_VARIABLE, DemoOptions

TIMEOUT_S = 15.0


def check_outside_servers(options: DemoOptions) -> None:
    """UpstreamError, naming the flag and the remedy, where a server does not answer or does not take the credential."""
    if options.fhir_url is not None:
        url = options.fhir_url.rstrip("/") + "/metadata"
        answer = _asked("--fhir", url, accept="application/fhir+json")
        _require(answer.status_code == 200, f"--fhir: {url} answered HTTP {answer.status_code}", answer)
    if options.pacs_url is not None:
        url = f"{options.dicomweb_root}/studies?limit=1"
        answer = _asked("--pacs", url, accept="application/dicom+json", auth=options.pacs_credential)
        remedy = f"; set --pacs-user and {PASSWORD_VARIABLE}" if answer.status_code in (401, 403) else ""
        # 204: an empty archive.
        _require(answer.status_code in (200, 204), f"--pacs: {url} answered HTTP {answer.status_code}{remedy}", answer)


def _asked(flag: str, url: str, *, accept: str, auth: tuple[str, str] | None = None) -> requests.Response:
    with OutboundSession([url], timeout_s=TIMEOUT_S, retries=0) as session:
        try:
            return session.get(url, headers={"Accept": accept}, auth=auth)
        except UpstreamError as exc:
            raise UpstreamError(f"{flag}: nothing answers at {url}.", server=exc.server) from exc


def _require(holds: bool, otherwise: str, answer: requests.Response) -> None:
    if not holds:
        raise UpstreamRefused(f"{otherwise}.", server=answer.url, status=answer.status_code)
