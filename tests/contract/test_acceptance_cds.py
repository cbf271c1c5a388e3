"""The CDS service as a hostile or careless client meets it: other people's data, users of other kinds, endless bodies."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhir_imaging.store.engine import Store
from tests.cds_actors import APP, FHIR, CdsActor, a_bundle, a_cds_service, a_hook, a_nodule, a_store, an_order, whole_prefetch


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = a_store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def cds(store: Store, tmp_path: Path) -> CdsActor:
    return a_cds_service(store, tmp_path)


@pytest.mark.parametrize("base", ["https://elsewhere.example.org/fhir/", "https://ehr.example.org/", "elsewhere/"])
def test_the_same_patient_id_on_another_server_is_another_patient(cds: CdsActor, base: str) -> None:
    """R18, group 8: a prefetched finding of Patient/p elsewhere says nothing of ours, and that is told."""
    foreign = a_nodule(subject={"reference": f"{base}Patient/p"})

    [card] = cds.cards(a_hook(whole_prefetch(foreign)))

    assert card["indicator"] == "info"
    assert "could not be read" in card["summary"]
    assert "belongs to another patient" in card["detail"]
    assert "suggestions" not in card


def test_an_absolute_subject_within_the_requests_own_server_is_the_patient(cds: CdsActor) -> None:
    own = a_nodule(subject={"reference": f"{FHIR}/Patient/p"})

    [card] = cds.cards(a_hook(whole_prefetch(own)))

    assert card["summary"].startswith("7 mm solid lung nodule")


def test_an_order_for_the_same_id_elsewhere_silences_no_card(cds: CdsActor) -> None:
    elsewhere = an_order(subject={"reference": "https://elsewhere.example.org/fhir/Patient/p"})

    [card] = cds.cards(a_hook(whole_prefetch(a_nodule(), orders=a_bundle(elsewhere))))

    assert card["indicator"] == "warning"
    assert cds.cards(a_hook(whole_prefetch(a_nodule(), orders=a_bundle(an_order())))) == []


@pytest.mark.parametrize("user", ["patient/p", "Person/1", "Group/1", "relatedperson/1", f"{FHIR}/Person/1"])
def test_a_user_of_a_kind_that_is_no_clinicians_gets_no_clinician_card(cds: CdsActor, user: str) -> None:
    """DESIGN section 6: in doubt the reader is not a clinician, as in the study list."""
    context = {"userId": user, "patientId": "p"}

    assert cds.cards(a_hook(whole_prefetch(a_nodule()), context=context)) == []


@pytest.mark.parametrize("user", ["Practitioner/1", "PractitionerRole/1", "COREPRACTITIONER1"])
def test_clinicians_and_users_without_a_kind_get_the_card(cds: CdsActor, user: str) -> None:
    context = {"userId": user, "patientId": "p"}

    assert len(cds.cards(a_hook(whole_prefetch(a_nodule()), context=context))) == 1


def test_a_chunked_body_without_end_is_413_like_any_other(store: Store, tmp_path: Path) -> None:
    """R20: a body that states no length is read up to the limit only, and the answer says why."""
    cds = a_cds_service(store, tmp_path, max_body_bytes=20_000)
    body = json.dumps(a_hook(whole_prefetch(a_nodule()))).encode() + b" " * 20_000
    path = "/cds-services/imaging-findings"

    response = cds.client.post(
        path,
        input_stream=io.BytesIO(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {cds.ehr.jwt_for(f'{APP}{path}')}", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )

    assert response.status_code == 413
    assert response.get_json()["issue"][0]["code"] == "too-long"
