"""A small SMART Imaging server that is right, until a fault is switched on: for M1-M16, and for what F and W ask.

It exists to show that ``imaging-cds check --imaging`` sees each fault. It shares no code with our imaging server.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import Flask, Response, request

from tests.faulty_archive import CLOSED_A, STUDIES, STUDY_B, Study, imaging_study
from tests.faulty_echo import repeating
from tests.faulty_fhir_ways import other_way
from tests.faulty_images import FaultyImages
from tests.faulty_redirects import beyond, sent_on
from tests.faulty_tokens import Refusal, capability_of, claims_of, modality_filter, patient_of

EHR = "https://ehr.example/fhir"
LAST_UPDATED = "2026-11-20T08:00:00Z"
SETTINGS_IN_PATH = "eyJmaGlyIjogImh0dHBzOi8vZWhyLmV4YW1wbGUifQ"
ARGONAUT_FLAG = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"
LOCAL_ENDPOINT = "urn:uuid:7a1f0c7e-5a43-4c52-9b0e-27c3b1d5a001"
_CODE_SYSTEM = "http://terminology.hl7.org/CodeSystem/"


@dataclass
class FaultyImaging:
    """``faults`` are names of what is wrong; ``capability`` and ``backend`` switch on what a server need not have."""

    base_url: str
    faults: frozenset[str] = frozenset()
    capability: bool = False
    capability_in_path: bool = False
    backend: bool = False
    delayed: set[str] = field(default_factory=set)
    """What has been answered with 503 once already."""
    images_at: str | None = None
    """A DICOMweb address to name instead of the own one."""
    endpoint_form: str = "included"
    """How a study names its Endpoint (C4): "included", "contained", or "local" to the answer (urn:uuid:)."""
    writes: list[str] = field(default_factory=list)
    written_paths: list[str] = field(default_factory=list)
    written_bytes: int = 0
    answered: set[str] = field(default_factory=set)
    known_tokens: set[str] = field(default_factory=set)
    """Tokens that an address with a capability was given out to."""

    @property
    def imaging(self) -> str:
        return f"{self.base_url}/imaging/fhir"

    def root(self) -> str:
        """The DICOMweb address without its capability."""
        between = f"/{SETTINGS_IN_PATH}" if "M7" in self.faults else ""
        return f"{self.base_url}{between}/dicom-web"

    def address(self, token: str) -> str:
        self.known_tokens.add(token)
        if self.images_at is not None:
            return self.images_at
        if "M16" in self.faults:
            return "http://images.example/dicom-web"
        if self.capability and self.capability_in_path:
            return f"{self.root()}/cap-{capability_of(token)}"
        return f"{self.root()}?cap={capability_of(token)}" if self.capability else self.root()

    def app(self) -> Flask:
        app = Flask("faulty-imaging", static_folder=None)

        @app.before_request
        def _answer() -> Response:
            path, query = self._target()
            try:
                answer = beyond(path) or self._routed(path, query)
            except Refusal as refusal:
                sent = sent_on(self.faults, refusal, path)
                answer = sent or self._refused(refusal, fhir=path.startswith("/imaging/fhir"))
            return self._with_manners(repeating(self.faults, answer, self.bearer()), path)

        return app

    def _target(self) -> tuple[str, str]:
        parts = urlsplit("http://here" + str(request.environ["RAW_URI"]).replace("//", "/"))
        return parts.path, parts.query

    def _routed(self, path: str, query: str) -> Response:
        delayed = self._delay(path)
        if delayed is not None:
            return delayed
        if request.method == "OPTIONS":
            return Response(status=204)
        pairs = parse_qsl(query, keep_blank_values=True)
        otherwise = other_way(self, path, dict(pairs)) if request.method in ("GET", "HEAD", "POST") else None
        if otherwise is not None:
            return otherwise
        if path == "/imaging/fhir/ImagingStudy/_search" and request.method == "POST":
            return self._searched(list(request.form.items(multi=True)), by_post=True)
        if request.method not in ("GET", "HEAD"):
            self.writes.append(request.method)
            self.written_paths.append(path)
            self.written_bytes += len(request.get_data())
            return Response(status=200 if "W3:methods" in self.faults else 405)
        if path == "/imaging/fhir/ImagingStudy":
            return self._searched(pairs, by_post=False)
        at = path.replace(f"/{SETTINGS_IN_PATH}", "", 1) if "M7" in self.faults else path
        if at.startswith("/dicom-web"):
            return FaultyImages(self).answer(at.removeprefix("/dicom-web"), pairs, self.bearer())
        raise Refusal(404)

    def _delay(self, path: str) -> Response | None:
        """The first search and the first metadata are not ready; a client that waits and repeats gets them."""
        kind = "F10" if "ImagingStudy" in path else "W7"
        if f"{kind}:delay" in self.faults and "Origin" in request.headers and request.method == "GET":
            return Response(status=500, headers={"Retry-After": "0.5"})
        if not request.authorization or kind in self.delayed:
            return None
        self.delayed.add(kind)
        return Response(status=503, headers={"Retry-After": "0"})

    def bearer(self) -> str | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return token
        side, name = ("F5", "access_token") if request.path.startswith("/imaging/fhir") else ("W3", "token")
        return request.args.get(name) if f"{side}:in-query" in self.faults else None

    def _searched(self, pairs: list[tuple[str, str]], *, by_post: bool) -> Response:
        token, given = self.bearer(), dict(reversed(pairs))
        claims = claims_of(token, self.faults, images=False)
        named = given.get("patient", "").removeprefix(f"{EHR}/").removeprefix("Patient/") or None
        patient = patient_of(claims, self.faults, images=False, backend=self.backend, named=named)
        wanted = self._wanted(pairs, named, patient, by_post=by_post)
        if "F1:patient" in self.faults:
            raise Refusal(404)
        if by_post and "F1:post" in self.faults:
            wanted = []
        modality = modality_filter(claims, self.faults)
        found = [one for one in self._narrowed(wanted, given) if modality in (None, one.modality)]
        return self.bundle(found, token or "", given)

    def _wanted(self, pairs: list[tuple[str, str]], named: str | None, patient: str, *, by_post: bool) -> list[Study]:
        """The studies of whom the search may be about. Refusal for everybody else."""
        faults, names = self.faults, [name for name, _ in pairs]
        if len(names) != len(set(names)) and "M6" not in faults:
            raise Refusal(400)
        if "M11" in faults and any(value.startswith("http") for name, value in pairs if name == "patient"):
            raise Refusal(400)
        if "M10:wildcard" in faults and named is not None and set(named) & set("*?"):
            return [one for one in _open() if fnmatchcase(one.patient, named)]
        if named is None and ("F6:nobody-named" in faults or ("F6:identifier-alone" in faults and "identifier" in names)):
            return _open()
        others = [value.removeprefix("Patient/") for name, value in pairs if name in ("subject", "patient:Patient")]
        if others and named == patient and "F6:otherwise-named" in faults:
            return [one for one in _open() if one.patient == others[0]]
        if named is None or not all(mark.isalnum() or mark in "-." for mark in named):
            raise Refusal(400)
        if named != patient and by_post and "F6:post" in faults:
            return [one for one in _open() if one.patient == named]
        if named != patient:
            if "F6:other-patient" in faults:
                return []
            raise Refusal(403)
        foreign = "M10:mapping" in faults or ("F6:other-study" in faults and "identifier" in names)
        return [one for one in _open() if one.patient == patient or foreign]

    def _narrowed(self, studies: list[Study], given: dict[str, str]) -> list[Study]:
        since, identifier = given.get("_lastUpdated", ""), given.get("identifier", "")
        if since and not {"M11", "F1:last-updated"} & self.faults and not self._is_since(since.removeprefix("gt")):
            return []
        if identifier and not {"M11", "F1:identifier"} & self.faults:
            uid = identifier.removeprefix("urn:dicom:uid|").removeprefix("urn:oid:")
            in_part = "F1:identifier-part" in self.faults
            return [one for one in studies if one.uid == uid or (in_part and one.uid.startswith(uid))]
        return studies

    def _is_since(self, moment: str) -> bool:
        if "F1:last-updated-text" in self.faults:
            return moment < LAST_UPDATED
        if "F1:last-updated-year" in self.faults:
            return moment[:4] <= LAST_UPDATED[:4]
        return datetime.fromisoformat(moment) < datetime.fromisoformat(LAST_UPDATED)

    def bundle(self, found: list[Study], token: str, given: dict[str, str]) -> Response:
        begin, count = int(given.get("_offset", "0")), int(given.get("_count", "50"))
        studies = found[begin : begin + count]
        of_each_page = self.endpoint_form == "local" and "F12:local" not in self.faults
        with_endpoint = ("_include" in given and "F1:include" not in self.faults) or of_each_page
        resources = [self.study(one) for one in studies]
        entries: list[dict[str, Any]] = [_entry(self.imaging, one, "match") for one in resources]
        if self.endpoint_form == "contained":
            resources = [one | {"contained": [self._endpoint(token)]} for one in resources]
            entries = [_entry(self.imaging, one, "match") for one in resources]
        elif with_endpoint and studies:
            entries.append(_entry(self.imaging, self._endpoint(token), "include"))
            if self.endpoint_form == "local":
                entries[-1]["fullUrl"] = LOCAL_ENDPOINT
        total = len(found) + ("F3:total" in self.faults)
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": total}
        bundle["link"] = [{"relation": "self", "url": f"{self.imaging}/ImagingStudy"}]
        if begin + count < len(found) and "F1:paging" not in self.faults:
            onward = urlencode({**given, "_offset": str(begin + count)})
            bundle["link"].append({"relation": "next", "url": f"{self.imaging}/ImagingStudy?{onward}"})
        elif begin and "F1:paging-round" in self.faults:
            bundle["link"].append({"relation": "next", "url": f"{self.imaging}/ImagingStudy?{urlencode(given)}"})
        if {"M11", "F3:bundle"} & self.faults:
            bundle = {"resourceType": "Bundle", "link": bundle["link"][1:] or [{"relation": "other"}]}
            entries = [{"resource": one["resource"]} for one in entries]
        if "F3:full-url" in self.faults:
            entries = [one | {"fullUrl": one["fullUrl"].removeprefix(f"{self.imaging}/")} for one in entries]
        if entries:
            bundle["entry"] = entries
        plain = {"M11", "F3:media-type"} & self.faults
        return Response(json.dumps(bundle), mimetype="application/json" if plain else "application/fhir+json")

    def study(self, study: Study) -> dict[str, Any]:
        named = {"contained": "#images", "local": LOCAL_ENDPOINT}.get(self.endpoint_form, "Endpoint/images")
        resource = imaging_study(study, named, EHR)
        if "F2:subject" in self.faults:
            resource["subject"] = {"reference": f"{EHR}/Patient/MRN-0001"}
        if "M10:mapping" in self.faults:
            resource["subject"] = {"reference": f"{EHR}/Patient/pat-a"}
        if {"M11", "F3:empty"} & self.faults:
            resource["referrer"] = {}
        if "F3:study" in self.faults:
            del resource["modality"]
        if "F3:modality" in self.faults:
            resource["modality"] = [{"coding": resource["modality"]}]
        if "F3:instance" in self.faults:
            resource["series"][0]["instance"][0]["sopClass"] = {"code": "1.2.840.10008.5.1.4.1.1.2"}
        if "F3:series" in self.faults:
            resource["series"][0]["uid"] = f"urn:oid:{study.series}"
        if "F1:include-second" in self.faults:
            resource["endpoint"] = [*resource["endpoint"], {"reference": "Endpoint/viewer"}]
        if "F6:identifier-alone" in self.faults:
            resource["subject"] = {"reference": f"{EHR}/Patient/pat-a"}
        return resource

    def _endpoint(self, token: str) -> dict[str, Any]:
        endpoint: dict[str, Any] = {
            "resourceType": "Endpoint",
            "id": "images",
            "status": "active",
            "connectionType": {"system": f"{_CODE_SYSTEM}endpoint-connection-type", "code": "dicom-wado-rs"},
            "payloadType": [{"coding": [{"system": f"{_CODE_SYSTEM}endpoint-payload-type", "code": "any"}]}],
            "address": self.address(token),
            "extension": [{"url": ARGONAUT_FLAG, "valueBoolean": "P1:flag" not in self.faults}],
        }
        if {"M11", "F4:endpoint"} & self.faults:
            del endpoint["payloadType"]
        if "M11" in self.faults:
            del endpoint["status"]
        return endpoint

    def _refused(self, refusal: Refusal, *, fhir: bool) -> Response:
        if "M13" in self.faults and refusal.status in (401, 403):
            return Response("not allowed", status=403, mimetype="text/plain")
        outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "code": "security"}]}
        body: Any = outcome if fhir else {"status": refusal.status, "title": "no"}
        if "P4:same-text" in self.faults and not fhir and STUDY_B in request.path:
            body["title"] = "this is another patient's"
        if "W5:refusal-object" in self.faults and not fhir and refusal.status == 403:
            body = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Nobody"}]}}
        if "W5:refusals" in self.faults and not fhir and refusal.status == 403:
            body = [{"0020000D": {"vr": "UI", "Value": [CLOSED_A]}}]
        kind = "application/fhir+json" if fhir else "application/problem+json"
        body = [] if refusal.error == "an empty list" else body
        answer = Response(json.dumps(body), status=refusal.status, mimetype=kind)
        error, needed = refusal.error, {401: "no-credentials", 403: "insufficient-scope"}
        code = "invalid-token" if error == "invalid_token" else needed.get(refusal.status, "")
        if refusal.status == 401 or error == "insufficient_scope":
            stated = f'Bearer error="{error}"' if error else "Bearer"
            answer.headers["WWW-Authenticate"] = "Basic" if f"P4:{code}" in self.faults else stated
        return answer

    def _with_manners(self, answer: Response, path: str) -> Response:
        if {"M14", "M14:echo"} & self.faults:
            said = request.headers.get("Origin", "*") if "M14:echo" in self.faults else "*"
            answer.headers["Access-Control-Allow-Origin"] = said
            answer.headers["Access-Control-Allow-Credentials"] = "true"
        if "M15" in self.faults and path.endswith("/metadata") and "/instances/" in path:
            time.sleep(0.3)
        public = "P4:caching" in self.faults or ("P4:caching-frames" in self.faults and "/frames/" in path)
        answer.headers["Cache-Control"] = "public, max-age=60" if public else "private, no-store"
        return answer


def _open() -> list[Study]:
    return [one for one in STUDIES.values() if one.uid != CLOSED_A]


def _entry(base: str, resource: dict[str, Any], mode: str) -> dict[str, Any]:
    url = f"{base}/{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": mode}}
