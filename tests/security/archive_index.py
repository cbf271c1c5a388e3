"""An archive's index with the persons that a test gives its studies, and an EHR that serves patients to whom it should."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from flask import Response, jsonify, request

from fhir_imaging.settings import Ownership
from imaging_server.settings import PatientIdentifierRule
from tests.security.gateway_actors import Answer, World
from tests.security.gateway_stubs import STUDY_A, Asked, StubEhr, StubPacs, dicom_json

MRN = "https://mrn.example"
RULE = PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")


def by_number(rule: PatientIdentifierRule = RULE, *, kept_s: float) -> dict[str, Any]:
    """What makes ``a_world`` one whose EHR north has no ImagingStudy: the archive's numbers decide."""
    return {
        "server": {"decision_cache_s": kept_s, "patient_identifiers": {"north": rule}},
        "north": {"ownership": Ownership.IDENTIFIER},
    }


def a_study(uid: str, number: object, issuer: str | None = "NORTH", modality: str = "CT") -> dict[str, Any]:
    """A QIDO match; ``number`` may be a list of values."""
    numbers = number if isinstance(number, list) else [number]
    return {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00100020": {"vr": "LO", "Value": numbers} if number is not None else {"vr": "LO"},
        **({"00100021": {"vr": "LO", "Value": [issuer]}} if issuer is not None else {}),
        "00080061": {"vr": "CS", "Value": [modality]},
    }


@dataclass
class Index:
    """Searches of an archive by PatientID and StudyInstanceUID; series and instances are the stub's own."""

    pacs: StubPacs
    studies: list[dict[str, Any]] = field(default_factory=list)
    matches: Callable[[str, str], bool] = lambda asked, held: asked == held
    """How the archive compares a PatientID; a naive one takes wild cards."""
    instead: Callable[[Asked], Response | None] = lambda asked: None

    def __post_init__(self) -> None:
        self.pacs.answer = self._answer

    def holds(self, *studies: dict[str, Any]) -> None:
        """Takes in studies, whose objects the archive then gives to anybody."""
        self.studies.extend(studies)
        for study in studies:
            self.pacs.persons[study["0020000D"]["Value"][0]] = ("of the stub", None)

    def searched(self) -> list[Asked]:
        """The questions for studies."""
        return [one for one in self.pacs.asked if one.path.endswith("/studies")]

    def _answer(self, asked: Asked) -> Response | None:
        instead = self.instead(asked)
        if instead is not None or not asked.path.endswith("/studies"):
            return instead
        numbers, uids = asked.query.get("PatientID"), asked.query.get("StudyInstanceUID")
        found = self.studies
        if uids is not None:
            found = [one for one in found if one["0020000D"]["Value"][0] in uids[-1].split(",")]
        if numbers is not None:
            found = [one for one in found if any(self.matches(numbers[-1], held) for held in one["00100020"].get("Value", []))]
        return dicom_json(found)


def identifier(value: object, system: str = MRN, **more: Any) -> dict[str, Any]:
    return {"system": system, "value": value, **more}


def asking_token() -> str:
    """The bearer token of the request that is being answered: several may be at once."""
    return request.headers.get("Authorization", "").removeprefix("Bearer ")


@dataclass
class PatientRecord:
    """``Patient/pat-a`` of an EHR, read out to the tokens that ``readers`` allows; everybody else gets ``refusal``."""

    ehr: StubEhr
    identifiers: list[dict[str, Any]]
    readers: Callable[[str], bool] = lambda token: True
    refusal: int = 403
    changes: dict[str, Any] = field(default_factory=dict)
    reads: list[str] = field(default_factory=list)
    """The tokens that came, in order."""

    def __post_init__(self) -> None:
        self.ehr.answers["/fhir/Patient/"] = self._answer

    def _answer(self) -> Response:
        token = asking_token()
        self.reads.append(token)
        if not self.readers(token):
            return Response("{}", self.refusal)
        patient = {"resourceType": "Patient", "id": request.path.rpartition("/")[2], "identifier": self.identifiers}
        return jsonify({**patient, **self.changes})


def retrieve(world: World, study: str = STUDY_A, token: str | None = None) -> Answer:
    return world.get(f"/studies/{study}/metadata", token or world.north.token())


def is_denied(world: World, study: str = STUDY_A) -> bool:
    """403, recorded, and nothing but the index was asked."""
    world.pacs.asked.clear()
    answer = retrieve(world, study)
    recorded = world.audit()[0]
    return (
        (answer.status, answer.problem) == (403, "study-not-of-patient")
        and world.pacs.retrievals() == []
        and (recorded.outcome, recorded.reason) == ("denied", "study-not-of-patient")
        and study not in world.found("/studies", world.north.token())
    )
