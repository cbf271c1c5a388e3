"""Other ways into a deliberately faulty imaging server than its search by patient: reads, compartments, chains, forms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask import Response, request

from tests.faulty_archive import CLOSED_A, STUDIES, Study
from tests.faulty_tokens import Refusal, claims_of, patient_of

if TYPE_CHECKING:
    from tests.faulty_imaging import FaultyImaging

_BASE = "/imaging/fhir/"


def other_way(server: FaultyImaging, path: str, query: dict[str, str]) -> Response | None:
    """The answer to a read or a search of this kind; None for everything else. Refusal for whom it is not."""
    match path.removeprefix(_BASE).split("/") if path.startswith(_BASE) else []:
        case ["ImagingStudy", uid] if uid != "_search":
            return _read(server, uid)
        case ["Patient", patient, "ImagingStudy"] if "F6:compartment" in server.faults:
            return _all_of(server, patient)
        case ["ImagingStudy", "_search"] if "F6:post-mixed" in server.faults and "patient" in query:
            return _all_of(server, request.form.get("patient", ""))
        case ["ImagingStudy"] if "F6:chain" in server.faults and "patient.birthdate" in query:
            return server.bundle(list(STUDIES.values()), server.bearer() or "", {})
        case ["ImagingStudy"] if "F7:left-out" in server.faults and "patient" not in query and _is_system(server):
            return server.bundle(list(STUDIES.values()), server.bearer() or "", {})
    return None


def _is_system(server: FaultyImaging) -> bool:
    return "system/" in str(claims_of(server.bearer(), server.faults, images=False).get("scope"))


def _read(server: FaultyImaging, uid: str) -> Response:
    token, study = server.bearer(), STUDIES.get(uid)
    if "F5:read" not in server.faults:
        # The faults are those of the search: who forgets a check there need not forget it here.
        claims = claims_of(token, set(), images=False)
        named = "pat-a" if server.backend else None
        patient = patient_of(claims, set(), images=False, backend=server.backend, named=named)
        if study is None or uid == CLOSED_A or (study.patient != patient and "F6:read" not in server.faults):
            raise Refusal(404)
    if study is None:
        raise Refusal(404)
    return _json(server.study(study))


def _all_of(server: FaultyImaging, patient: str) -> Response:
    token = server.bearer()
    claims_of(token, server.faults, images=False)
    found: list[Study] = [one for one in STUDIES.values() if one.patient == patient]
    return server.bundle(found, token or "", {})


def _json(resource: dict[str, Any]) -> Response:
    return Response(json.dumps(resource), mimetype="application/fhir+json")
