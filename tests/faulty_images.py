"""The DICOMweb side of a deliberately faulty imaging server."""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask import Response, request

from tests.faulty_archive import CLOSED_A, INTERNAL, STUDIES, STUDY_B, Study, dataset, listed, parts
from tests.faulty_tokens import Refusal, capability_of, claims_of, modality_filter, patient_of

if TYPE_CHECKING:
    from tests.faulty_imaging import FaultyImaging

DICOM_JSON = "application/dicom+json"
FILE = b"\0" * 128 + b"DICM" + b"\x02\x00\x00\x00"


class FaultyImages:
    """Answers one request."""

    def __init__(self, server: FaultyImaging) -> None:
        self._server = server
        self._faults = server.faults
        self._root = INTERNAL if "M5" in server.faults else server.root()
        self._bulk_root = INTERNAL if "M5:nested" in server.faults else self._root

    def answer(self, path: str, pairs: list[tuple[str, str]], token: str | None) -> Response:
        """The answer below the DICOMweb root; Refusal where there is none."""
        given = dict(pairs)
        capability = given.pop("cap", None)
        if self._server.capability and token is not None:
            self._bulk_root = self._server.address(token)
        if path.startswith("/cap-"):
            capability, _, path = path.removeprefix("/cap-").partition("/")
            path = f"/{path}"
        if path == "/wado":
            return self._old_form(given, token)
        guarded = {"W3:no-token", "W3:unknown-token"} & self._faults and not path.endswith("/metadata")
        faults = self._faults - {"W3:no-token", "W3:unknown-token"} if guarded else self._faults
        if "P5:guard" in faults and path == "/studies" and token is None:
            return self._json([])
        if "W3:afresh" in faults and token is None and path.endswith("/metadata") and path in self._server.answered:
            faults = faults | {"W3:no-token"}
        if "W3:odd-paths" in faults and "//" in str(request.environ["RAW_URI"]):
            faults = faults | {"W3:no-token"}
        if "W3:large-values" in faults and "/bulkdata/" in path:
            return Response(b"large", mimetype="application/octet-stream")
        claims = claims_of(token, faults, images=True)
        patient = patient_of(claims, faults, images=True, backend=self._server.backend, named=None)
        self._check_capability(capability, token or "")
        self._server.answered.add(path)
        self._modality = None if "W3:filtered" in faults else modality_filter(claims, faults - {"M12:filtered"})
        return self._routed(path, given, patient)

    def _routed(self, path: str, given: dict[str, str], patient: str) -> Response:
        if path in ("/studies", "/series", "/instances"):
            return self._found(path, given, patient)
        led = self._led_astray(path)
        if led is not None:
            return led
        pieces = path.strip("/").split("/")
        if pieces[0] != "studies" or len(pieces) < 2:
            raise Refusal(404)
        study = self._owned(pieces[1], patient, pieces[2:])
        return self._of_study(study, pieces[2:])

    def _check_capability(self, stated: str | None, token: str) -> None:
        if not self._server.capability:
            return
        due = capability_of(token)
        if "M8" in self._faults and stated is not None and stated != due:
            # Any capability that was ever given out would do; an altered one never was.
            due = stated if stated in {capability_of(one) for one in self._server.known_tokens} else due
        matches = (stated or "")[:20] == due[:20] if "W6:capability" in self._faults else stated == due
        if not matches:
            raise Refusal(403)

    def _led_astray(self, path: str) -> Response | None:
        """M1 and M2: the first piece was compared, and the rest decoded and tidied afterwards."""
        tidied = posixpath.normpath(unquote(unquote(path)))
        if ".." not in unquote(unquote(path)):
            return None
        pieces = tidied.strip("/").split("/")
        if "M1" in self._faults and pieces[0] == "studies" and pieces[-1] == "metadata" and pieces[1] in STUDIES:
            return self._of_study(STUDIES[pieces[1]], ["metadata"])
        if "M2" in self._faults and pieces[-1] in ("system", "patients") and len(pieces) == 1:
            return Response('{"Name": "archive"}', mimetype="application/json")
        raise Refusal(404)

    def _owned(self, uid: str, patient: str, rest: list[str]) -> Study:
        rendered, metadata, deeper = rest == ["rendered"], rest == ["metadata"], rest[:1] == ["series"] and len(rest) > 1
        study = STUDIES.get(uid)
        if study is None and "W4:unknown-study" in self._faults:
            raise Refusal(500)
        if study is None and "W4:unknown-study-list" in self._faults:
            raise Refusal(500, "an empty list")
        if study is None:
            raise Refusal(404 if "P4:same-answer" in self._faults else 403)
        if uid == CLOSED_A and not ("W5:restricted" in self._faults or (metadata and "W5:metadata" in self._faults)):
            raise Refusal(403)
        overlooked = (rendered and "W4:other-study" in self._faults) or (deeper and "W4:parts" in self._faults)
        if study.patient != patient and not overlooked:
            raise Refusal(403)
        if self._modality not in (None, study.modality):
            raise Refusal(403)
        return study

    def _of_study(self, study: Study, rest: list[str]) -> Response:
        match rest:
            case [] | ["series", _] | ["series", _, "instances", _]:
                return self._files(study, self._instances(study, rest), whole=not rest)
            case [*place, "metadata"]:
                return self._metadata(study, self._instances(study, place))
            case [*place, "rendered" | "thumbnail"]:
                self._instances(study, place)
                kind = "text/plain" if "W2:rendered" in self._faults else "image/jpeg"
                return self._acceptable("image/jpeg", Response(b"\xff\xd8picture\xff\xd9", mimetype=kind))
            case ["bulkdata", _]:
                return Response(b"large", mimetype="application/octet-stream")
            case ["series" | "instances"]:
                return self._json([dataset(study, uid, self._root, self._bulk_root) for uid in study.instances])
            case ["series", _, "instances", _, "frames", number]:
                self._instances(study, rest[:4])
                return self._frame(number)
        raise Refusal(404)

    def _instances(self, study: Study, place: list[str]) -> list[str]:
        """The instances that a place names. Refusal (404) for what is not in the study."""
        series = place[1] if len(place) > 1 else study.series
        instance = place[3] if len(place) > 3 else None
        wrong_series = series != study.series and not ("W4:hierarchy" in self._faults and instance is not None)
        if wrong_series or (instance is not None and instance not in study.instances):
            raise Refusal(404)
        return list(study.instances) if instance is None else [instance]

    def _files(self, study: Study, instances: list[str], *, whole: bool) -> Response:
        accept = request.headers.get("Accept", "")
        if "1.2.840.10008.9.9.9" in accept and "W2:negotiation" in self._faults:
            raise Refusal(500)
        if "1.2.840.10008.9.9.9" in accept or (whole and "W1:study" in self._faults):
            raise Refusal(406)
        kept = instances[:-1] if whole and "W5:fewer" in self._faults else instances
        location = INTERNAL if "M5:part" in self._faults else None
        kept = [*kept, *kept[:1]] if whole and "W5:more" in self._faults else kept
        kept = [] if "W1:no-parts" in self._faults else kept
        named = STUDY_B if "W1:other-study" in self._faults else study.uid
        body, kind = parts([FILE + named.encode()] * len(kept), "application/dicom", location=location)
        if whole and "W1:cut" in self._faults:
            body = body[:-40]
        if whole and "W1:no-dicom" in self._faults:
            body = body.replace(b"DICM", b"NONE")
        if "W2:levels" in self._faults and not whole:
            kind = "multipart/related"
        status = 206 if whole and "W5:partial" in self._faults else 200
        answer = Response(body, status=status, content_type=kind)
        if "M5:header" in self._faults:
            answer.headers["Content-Location"] = f"{INTERNAL}/studies/{study.uid}"
        return self._acceptable("application/dicom", answer)

    def _frame(self, number: str) -> Response:
        if number != "1":
            if "M3" in self._faults:
                return Response("Frame index is out of bounds", mimetype="text/plain")
            raise Refusal(404)
        body, kind = parts([b"\0" * 64], "application/octet-stream")
        if "W2:frames" in self._faults:
            kind = "text/plain"
        return self._acceptable("application/octet-stream", Response(body, content_type=kind))

    def _metadata(self, study: Study, instances: list[str]) -> Response:
        told = STUDIES[STUDY_B] if "W2:other-study" in self._faults and len(instances) == 1 else study
        beside = {"0040E010": {"vr": "UR", "Value": [f"{INTERNAL}/retrieve"]}} if "M5:retrieve-uri" in self._faults else {}
        shown = [] if "W2:nothing" in self._faults and len(instances) == 1 else instances
        body = json.dumps([dataset(told, uid, self._root, self._bulk_root) | beside for uid in shown])
        kind = "application/json" if "W2:metadata" in self._faults else DICOM_JSON
        return Response(body[:-20] if "M4" in self._faults else body, mimetype=kind)

    def _found(self, path: str, given: dict[str, str], patient: str) -> Response:
        everybody = "P5:list" in self._faults or ("P5:evasion" in self._faults and "PatientID" in given)
        seen = [one for one in STUDIES.values() if everybody or (one.patient == patient and one.uid != CLOSED_A)]
        if path != "/studies" and "StudyInstanceUID" not in given:
            raise Refusal(400)
        wanted = given.get("StudyInstanceUID") or given.get("0020000D")
        return self._json([listed(one, self._root) for one in seen if wanted is None or one.uid in wanted.split(",")])

    def _old_form(self, given: dict[str, str], token: str | None) -> Response:
        claims = claims_of(token, self._faults - {"W3:no-token", "W3:unknown-token"}, images=True)
        patient = patient_of(claims, self._faults, images=True, backend=False, named=None)
        study = STUDIES.get(given.get("studyUID", ""))
        if study is None and "P5:wado-uri" in self._faults:
            return Response(FILE, mimetype="application/dicom")
        if study is None or study.patient != patient or given.get("objectUID") not in study.instances:
            raise Refusal(403)
        return Response(FILE, mimetype="application/dicom")

    def _acceptable(self, kind: str, answer: Response) -> Response:
        accept = request.headers.get("Accept", "*/*")
        if kind in accept or "*/*" in accept:
            return answer
        raise Refusal(500 if "W2:negotiation" in self._faults else 406)

    def _json(self, datasets: list[dict[str, Any]]) -> Response:
        return Response(json.dumps(datasets), mimetype=DICOM_JSON)
