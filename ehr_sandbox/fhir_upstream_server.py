"""Talking to the real FHIR R4 server behind the sandbox: addresses, time limits, refusals."""

from dataclasses import dataclass
from typing import Any

import requests

from ehr_sandbox.fhir_faults import FhirFault, Resource
from ehr_sandbox.fhir_references import rewritten

TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """The server behind, as addressed by us and as known by its clients."""

    url: str
    base_url: str
    http: requests.Session

    def owns(self, url: str) -> bool:
        """Whether a full URL leads to that server and below its base."""
        return url.startswith((f"{self.url}/", f"{self.url}?"))

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request; `path` may be a full URL of that server. Raises FhirFault 502 when it cannot be reached."""
        url = path if self.owns(path) else f"{self.url}/{path}"
        headers = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
        try:
            return self.http.request(method, url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False, **more)
        except requests.RequestException as error:
            raise FhirFault(502, "transient", "the FHIR server behind cannot be reached") from error

    def resource(self, response: requests.Response) -> Resource:
        """The body of a success. Raises FhirFault: with the upstream's own status when it blames the request."""
        try:
            body = response.json()
        except ValueError as error:
            raise FhirFault(502, "transient", "the FHIR server behind sent no JSON") from error
        if response.status_code >= 400 or not isinstance(body, dict):
            status = response.status_code if response.status_code in (400, 404, 409, 410, 412, 422) else 502
            raise FhirFault(status, "processing", f"the FHIR server behind refused: {_reason(body)}")
        return self.relative(body)

    def relative(self, resource: Resource) -> Resource:
        """The resource with references into that server made relative."""

        def rename(reference: str) -> str:
            return reference.removeprefix(f"{self.url}/").removeprefix(f"{self.base_url}/")

        renamed: Resource = rewritten(resource, rename)
        return renamed


def _reason(body: Any) -> str:
    issues = body.get("issue", []) if isinstance(body, dict) else []
    texts = [str(issue.get("diagnostics", "")) for issue in issues if isinstance(issue, dict)]
    return "; ".join(text for text in texts if text)[:500] or "no reason given"
