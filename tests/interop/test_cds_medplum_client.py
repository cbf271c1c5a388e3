"""A CDS client that we did not write asks our service: Medplum's (npm ``@medplum/core``), with data of Medplum's FHIR router.

It reads the discovery, fills each service's prefetch templates by searches of its own, and asks ``patient-view``. Only its
proof is given to it (npm/cds_client.cjs signs a JWT for each address): by itself it sends one token to everybody. The demo's
patient lies in the foreign FHIR server, so templates, prefetch and cards are read by software that knows nothing of ours.
Needs ``make counterparts``.

Spec: CDS Hooks 2.0 (discovery, prefetch, trusting CDS clients); issue 7.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import ECAlgorithm

from cds_service.evaluate import SERVICES
from cds_service.validator import faults_of
from ehr_sandbox.patients import build_demo
from tests.cds_actors import APP, EHR, SigningEhr, a_cds_service, a_store
from tests.conftest import free_port_number, serving
from tests.interop.medplum_process import running_medplum
from tests.interop.node_process import node_command, node_environment
from tests.synced_studies import synced_demo

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]
SERVICE = "imaging-findings"
TIMEOUT_S = 60


@dataclass(frozen=True, slots=True)
class Site:
    """Our service, which trusts one EHR's key, and the foreign FHIR server with the demo's patients."""

    fhir: str
    services: str
    ehr: SigningEhr
    home: Path

    def ran(self, patient: str, *, key: SigningEhr | None) -> subprocess.CompletedProcess[str]:
        """The client's one run for this patient's chart, signing with this EHR's key or not at all."""
        proof = () if key is None else (EHR, str(self._written(key)))
        command = node_command("cds_client.cjs", self.fhir, self.services, SERVICE, patient, "demo-gp", *proof)
        return subprocess.run(
            command, env=node_environment(), cwd=self.home, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )

    def asked(self, patient: str) -> dict[str, Any]:
        """What it discovered, asked and was answered."""
        done = self.ran(patient, key=self.ehr)
        assert done.returncode == 0, done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def _written(self, key: SigningEhr) -> Path:
        path = self.home / "key.json"
        path.write_text(json.dumps(ECAlgorithm.to_jwk(key.ec_key, as_dict=True) | {"kid": key.kid}))
        return path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    home = tmp_path_factory.mktemp("cds")
    now, port = datetime.now(UTC), free_port_number()
    with running_medplum(home) as medplum:
        demo = build_demo(home / "dicom", demo_day=now.date(), fhir_base=medplum.base, slices=1)
        for resource in synced_demo(demo, home / "dicom", f"{APP}/imaging/sandbox/dicom-web/demo").resources:
            medplum.put(resource)
        store, base = a_store(home / "state"), f"http://127.0.0.1:{port}"
        cds = a_cds_service(store, home, now=now, public_base_url=base, trust={"fhir_servers": (medplum.base,)})
        with serving(cds.app, port):
            yield Site(medplum.base, f"{base}/cds-services", cds.ehr, home)
        store.close()


@pytest.fixture(scope="module")
def alma(site: Site) -> dict[str, Any]:
    return site.asked("demo-a")


def test_it_discovers_every_service(alma: dict[str, Any]) -> None:
    assert {one["id"] for one in alma["services"]} == set(SERVICES)


def test_it_fills_every_prefetch_template(alma: dict[str, Any]) -> None:
    (service,) = [one for one in alma["services"] if one["id"] == SERVICE]
    prefetch = alma["request"]["prefetch"]

    assert set(prefetch) == set(service["prefetch"])
    assert prefetch["patient"]["id"] == "demo-a"
    assert {"findings", "studies", "reports"} <= {key for key, one in prefetch.items() if one.get("entry")}


def test_the_card_comes_to_the_foreign_client(alma: dict[str, Any]) -> None:
    cards = alma["response"]["cards"]

    assert faults_of(alma["response"]) == ()
    assert "Lung-RADS 4B" in cards[0]["summary"]
    assert any(link["type"] == "smart" for link in cards[0]["links"])


def test_another_patients_chart_gets_that_patients_cards(site: Site) -> None:
    said = site.asked("demo-b")

    assert said["request"]["prefetch"]["patient"]["id"] == "demo-b"
    assert said["response"]["cards"] != []
    assert "Lung-RADS 4B" not in json.dumps(said["response"])


@pytest.mark.parametrize("key", [None, SigningEhr()], ids=["unsigned", "signed by somebody else"])
def test_a_client_that_does_not_prove_itself_gets_no_card(site: Site, key: SigningEhr | None) -> None:
    done = site.ran("demo-a", key=key)

    assert done.returncode == 1
    assert "Unauthorized" in done.stderr
    assert done.stdout == ""
    assert "Lung-RADS" not in done.stderr
