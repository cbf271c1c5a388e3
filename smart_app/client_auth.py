"""How the app proves itself at an EHR's token endpoint, and whether that fits what the EHR says it supports.

What an EHR lists is compared and told to the administrator, never obeyed: real lists are incomplete (smart-launch.md §1.7).

Spec: SMART App Launch 2.2 "Client authentication" (A23, A24, A26), RFC 8414.
"""

from __future__ import annotations

from fhir_imaging.clients.smart_metadata import SmartMetadata
from fhir_imaging.settings import ClientAuth, EhrSettings


def disagreement(ehr: EhrSettings, metadata: SmartMetadata, algorithm: str) -> str | None:
    """What the EHR's list says against our setting, for the administrator; None where nothing does.

    A public client sends nothing that a list could contradict, and an EHR without a list has said nothing.
    """
    method, methods = ehr.client_auth, metadata.token_auth_methods
    if method is ClientAuth.PUBLIC or not methods:
        return None
    if method.value not in methods:
        return f"client_auth here is {method.value}; the EHR lists {_listed(methods)}"
    algorithms = metadata.token_signing_algorithms
    if method is ClientAuth.PRIVATE_KEY_JWT and algorithms and algorithm not in algorithms:
        return f"assertions here are signed with {algorithm}; the EHR lists {_listed(algorithms)}"
    return None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8])[:200]
