"""What one caller of the FHIR API may do: the granted scopes, held against each resource."""

from dataclasses import dataclass
from datetime import UTC, datetime

from ehr_sandbox.fhir_compartment import in_compartment
from ehr_sandbox.fhir_faults import FhirFault, Resource
from ehr_sandbox.fhir_matching import MatchContext, matches, parse_criterion
from ehr_sandbox.fhir_session import Sight
from ehr_sandbox.oauth_scopes import ResourceScope


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of one caller.

    `patient` is the token's launch patient. `user_patient` is set when the signed-in user is a patient, whose
    `user/` scopes then end at the own record. `everything` is the chart itself and the open mode.
    """

    base_url: str
    scopes: tuple[ResourceScope, ...] = ()
    patient: str | None = None
    user_patient: str | None = None
    owner: str = ""
    user: str | None = None
    everything: bool = False

    def require(self, letter: str, resource_type: str) -> None:
        """Raise FhirFault 403 when no scope speaks of this interaction on this type."""
        if self.everything or any(scope.covers_type(letter, resource_type) for scope in self.scopes):
            return
        raise insufficient_scope(f"{self._level()}/{resource_type}.{letter}")

    def _level(self) -> str:
        """Of a scope that would be needed."""
        if self.patient:
            return "patient"
        return "user" if self.user else "system"

    def permits(self, letter: str, resource: Resource) -> bool:
        """Whether the interaction is allowed on exactly this resource."""
        return self.everything or any(self._scope_permits(scope, letter, resource) for scope in self.scopes)

    def check(self, letter: str, resource: Resource) -> None:
        """Raise FhirFault 403 when the interaction is not allowed on this resource."""
        if not self.permits(letter, resource):
            raise FhirFault(
                403,
                "forbidden",
                f"this {resource['resourceType']} lies outside what the access token allows",
                {"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
            )

    def sight(self) -> Sight:
        """What the caller sees of a search; an included resource needs the right to read or to search its type."""
        return Sight(
            match=lambda resource: self.permits("s", resource),
            include=lambda resource: self.permits("r", resource) or self.permits("s", resource),
            patient=self._only_compartment(),
            owner=self.owner,
        )

    def _only_compartment(self) -> str | None:
        if self.everything:
            return None
        compartments = {self._compartment(scope) for scope in self.scopes}
        return compartments.pop() if len(compartments) == 1 else None

    def _compartment(self, scope: ResourceScope) -> str | None:
        return {"patient": self.patient, "user": self.user_patient, "system": None}[scope.level]

    def _scope_permits(self, scope: ResourceScope, letter: str, resource: Resource) -> bool:
        if not scope.covers_type(letter, resource["resourceType"]):
            return False
        if scope.level == "patient" and self.patient is None:
            return False
        compartment = self._compartment(scope)
        if compartment is not None and not in_compartment(resource, compartment, self.base_url):
            return False
        return all(self._meets(resource, key, value) for key, value in scope.criteria)

    def _meets(self, resource: Resource, key: str, value: str) -> bool:
        criterion = parse_criterion(resource["resourceType"], key, value)
        context = MatchContext(base_url=self.base_url, now=datetime.now(UTC).timestamp())
        return criterion is not None and matches(resource, criterion, context)


def insufficient_scope(scope: str) -> FhirFault:
    """403 that names the scope that would be needed (RFC 6750)."""
    return FhirFault(
        403,
        "forbidden",
        f"the access token lacks the scope {scope}",
        {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )


def full_access(base_url: str) -> Access:
    """The rights of the EHR itself."""
    return Access(base_url=base_url, everything=True)
