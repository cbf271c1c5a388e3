"""The gateway between the sandbox EHR and the sandbox PACS with the demo's patients: both were written apart from it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from ehr_sandbox.authorization import TokenOptions
from ehr_sandbox.oauth_context import LaunchContext
from ehr_sandbox.oauth_keys import client_secret
from ehr_sandbox.patients import alma
from ehr_sandbox.settings import SandboxSettings
from fhir_imaging.settings import EhrSettings, Ownership
from fhir_imaging.store.launched_tokens import LaunchedToken, LaunchedTokens
from tests.demo_hospital import DemoHospital, a_demo_hospital, signed_by

SCOPE = "patient/ImagingStudy.rs patient/Patient.r"
ON_TAPE = alma.ON_TAPE.study_instance_uid


class Demo(DemoHospital):
    """The gateway between sandbox EHR and sandbox PACS, which it knows under several names."""

    def token(self, patient: str | None, scope: str = SCOPE, **options: object) -> str:
        context = LaunchContext(patient=patient)
        made = TokenOptions(**options) if options else None  # type: ignore[arg-type]
        issued = self.authorization.issue_token("imaging-cds", scope, context, made)
        return (issued.id_token or "") if options.get("with_id_token") else issued.access_token

    def launched(self, patient: str) -> str:
        """A token as a launch of the app would bring and note it."""
        token = self.token(patient)
        noted = LaunchedToken(
            ehr="launched",
            issuer=self.sandbox.fhir_base,
            patient_id=patient,
            scopes=SCOPE,
            user=None,
            client_id="imaging-cds",
            expires_at=int(time.time()) + 300,
        )
        LaunchedTokens(self.store).note(token, noted)
        return token

    def get(self, path: str, token: str, ehr: str = "sandbox") -> requests.Response:
        with requests.Session() as session:
            url = f"{self.app_url}/imaging/{ehr}/dicom-web/demo{path}"
            return session.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=20)


def ways(sandbox: SandboxSettings) -> tuple[EhrSettings, ...]:
    """Every way of checking its tokens, and both of knowing whose a study is."""
    introspected = EhrSettings(
        name="introspected",
        fhir_base=sandbox.fhir_base,
        token_issuer=sandbox.issuer,
        introspection_url=f"{sandbox.issuer}/introspect",
        introspection_client_id="imaging-server",
        introspection_client_secret=client_secret(sandbox.state_dir, "imaging-server"),
    )
    return (
        signed_by(sandbox, "sandbox"),
        introspected,
        EhrSettings(name="discovered", fhir_base=sandbox.fhir_base),
        signed_by(sandbox, "numbered", ownership=Ownership.IDENTIFIER),
        EhrSettings(name="launched", fhir_base=sandbox.fhir_base, opaque_tokens=True),
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with a_demo_hospital(Demo, tmp_path_factory.mktemp("demo"), ways, rules=("sandbox", "numbered")) as running:
        yield running


@pytest.mark.parametrize("ehr", ["sandbox", "introspected", "discovered", "numbered", "launched"])
def test_demo_patient_a_opens_own_studies_and_nothing_of_b(demo: Demo, ehr: str) -> None:
    """By signature, by introspection, by what the EHR's SMART configuration offers; by PatientID; by the app's own launch."""
    token = demo.launched("demo-a") if ehr == "launched" else demo.token("demo-a")
    (study_b, *_), own = demo.studies["demo-b"], sorted(demo.studies["demo-a"])

    found = demo.get("/studies", token, ehr)
    metadata = demo.get(f"/studies/{own[0]}/metadata", token, ehr)
    other = demo.get(f"/studies/{study_b}/metadata", token, ehr)

    assert sorted(one["0020000D"]["Value"][0] for one in found.json()) == sorted([*own, ON_TAPE])
    assert metadata.status_code == 200
    assert len(metadata.json()) >= 3
    assert (other.status_code, other.json()["type"]) == (403, "urn:imaging-cds:problem:study-not-of-patient")


def test_a_study_on_the_archives_tape_is_listed_as_offline_and_its_images_are_not_there(demo: Demo) -> None:
    """Asked for again and again, so often as breaks a circuit: the archive is as well as before."""
    token = demo.token("demo-a")
    listed = {one["0020000D"]["Value"][0]: one["00080056"]["Value"][0] for one in demo.get("/studies", token).json()}

    images = {demo.get(f"/studies/{ON_TAPE}/rendered", token).status_code for _ in range(12)}

    assert images == {404}
    assert listed == {ON_TAPE: "OFFLINE", **dict.fromkeys(demo.studies["demo-a"], "ONLINE")}
    assert demo.get(f"/studies/{demo.studies['demo-a'][0]}/rendered", token).status_code == 200


def test_demo_patient_b_opens_own_study(demo: Demo) -> None:
    (study, *_) = demo.studies["demo-b"]

    assert demo.get(f"/studies/{study}/metadata", demo.token("demo-b")).status_code == 200


@pytest.mark.parametrize(
    ("options", "status", "problem"),
    [
        ({"audiences": ("https://other.example/fhir",)}, 401, "token-invalid"),
        ({"with_id_token": True}, 401, "token-invalid"),
        ({"lifetime_s": -60}, 401, "token-invalid"),
    ],
    ids=["other audience", "id_token", "ended"],
)
@pytest.mark.parametrize("ehr", ["sandbox", "introspected"])
def test_tokens_that_the_command_line_makes_for_refusals_are_refused(
    demo: Demo, ehr: str, options: dict[str, object], status: int, problem: str
) -> None:
    """issue 2 item 9: people test refusals with ``imaging-cds token``."""
    token = demo.token("demo-a", scope=f"openid fhirUser {SCOPE}", **options)

    answer = demo.get(f"/studies/{demo.studies['demo-a'][0]}/metadata", token, ehr)

    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:imaging-cds:problem:{problem}")


def test_launched_token_that_the_ehr_revokes_opens_nothing(demo: Demo) -> None:
    """DESIGN §8, third way: the sandbox no longer gives the Patient to it."""
    token = demo.launched("demo-a")
    endpoint = f"{demo.sandbox.issuer}/revoke"
    with requests.Session() as session:
        revoked = session.post(endpoint, data={"token": token, "client_id": "imaging-cds"}, timeout=20)

    answer = demo.get(f"/studies/{demo.studies['demo-a'][0]}/metadata", token, "launched")

    assert revoked.status_code == 200
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:imaging-cds:problem:token-invalid")


def test_token_that_was_not_launched_opens_nothing_where_only_launched_ones_count(demo: Demo) -> None:
    answer = demo.get(f"/studies/{demo.studies['demo-a'][0]}/metadata", demo.token("demo-a"), "launched")

    assert (answer.status_code, answer.json()["type"]) == (401, "urn:imaging-cds:problem:token-invalid")


@pytest.mark.parametrize(
    ("patient", "scope", "problem"),
    [
        (None, SCOPE, "no-patient-in-context"),
        ("demo-a", "patient/Patient.rs", "insufficient-scope"),
        ("demo-a", "patient/ImagingStudy.s", "insufficient-scope"),
    ],
)
def test_tokens_without_patient_or_scope_open_nothing(demo: Demo, patient: str | None, scope: str, problem: str) -> None:
    answer = demo.get(f"/studies/{demo.studies['demo-a'][0]}/metadata", demo.token(patient, scope))

    assert (answer.status_code, answer.json()["type"]) == (403, f"urn:imaging-cds:problem:{problem}")


def test_every_address_in_the_demos_metadata_is_the_gateways(demo: Demo) -> None:
    (study, *_) = demo.studies["demo-a"]
    token = demo.token("demo-a")

    (first, *_) = demo.get(f"/studies/{study}/metadata", token).json()
    address = first["7FE00010"]["BulkDataURI"] if "7FE00010" in first else None

    assert address is None or address.startswith(f"{demo.app_url}/imaging/sandbox/dicom-web/demo/studies/{study}/")
