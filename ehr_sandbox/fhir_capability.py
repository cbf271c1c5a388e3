"""What the FHIR API says about itself: the R4 CapabilityStatement."""

from collections.abc import Iterable

from ehr_sandbox.fhir_faults import Resource
from ehr_sandbox.fhir_parameters import SEARCH_PARAMETERS
from ehr_sandbox.settings import SandboxSettings

# The day this statement last changed in substance; clients may cache by it.
_DATE = "2026-11-21"
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "delete",
    "history-instance",
    "create",
    "search-type",
)


def capability_statement(settings: SandboxSettings, *, with_oauth_uris: bool = True) -> Resource:
    """The CapabilityStatement of this server; `with_oauth_uris` is a fault switch."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": _DATE,
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "software": {"name": "imaging-cds sandbox EHR"},
        "implementation": {"description": "Sandbox EHR with synthetic patients", "url": settings.fhir_base},
        "rest": [_rest(settings, with_oauth_uris=with_oauth_uris)],
    }


def _rest(settings: SandboxSettings, *, with_oauth_uris: bool) -> Resource:
    security = _security(settings)
    if not with_oauth_uris:
        del security["extension"]
    return {
        "mode": "server",
        "security": security,
        "resource": [_resource(resource_type) for resource_type in sorted(SEARCH_PARAMETERS)],
        "interaction": [{"code": "transaction"}, {"code": "batch"}],
        "searchParam": _search_parameters("Basic", ("_id", "_lastUpdated", "_profile", "_security", "_tag")),
    }


def _security(settings: SandboxSettings) -> Resource:
    uris = {
        "authorize": f"{settings.issuer}/authorize",
        "token": f"{settings.issuer}/token",
        "introspect": f"{settings.issuer}/introspect",
        "revoke": f"{settings.issuer}/revoke",
        "manage": f"{settings.issuer}/manage",
    }
    return {
        "cors": True,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ],
                "text": "OAuth2 using SMART-on-FHIR profile (see http://docs.smarthealthit.org)",
            }
        ],
        "extension": [{"url": _OAUTH_URIS, "extension": [{"url": name, "valueUri": uri} for name, uri in uris.items()]}],
    }


def _resource(resource_type: str) -> Resource:
    parameters = SEARCH_PARAMETERS[resource_type]
    references = [name for name, parameter in parameters.items() if parameter.kind == "reference"]
    reverse = [
        f"{source}:{name}"
        for source, others in sorted(SEARCH_PARAMETERS.items())
        for name, parameter in others.items()
        if parameter.kind == "reference" and resource_type in parameter.targets
    ]
    return {
        "type": resource_type,
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "not-match",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": ["*", *(f"{resource_type}:{name}" for name in references)],
        **({"searchRevInclude": reverse} if reverse else {}),
        "searchParam": _search_parameters(resource_type, parameters),
    }


def _search_parameters(resource_type: str, names: Iterable[str]) -> list[Resource]:
    known = SEARCH_PARAMETERS[resource_type]
    return [{"name": name, "type": known[name].kind} for name in names]
