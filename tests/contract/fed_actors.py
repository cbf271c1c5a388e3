"""A FHIR server that is kept equal to the archives, as ``pacs_sync`` does: the sandbox's own store, asked at the wire."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, Response, request

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.settings import demo_settings

DCM = "http://dicom.nema.org/resources/ontology/DCM"
ENDPOINT_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"
PAYLOADS = "http://terminology.hl7.org/CodeSystem/endpoint-payload-type"
Change = Callable[[dict[str, Any]], list[dict[str, Any]]]
Index = Mapping[str, tuple[dict[str, Any], list[tuple[dict[str, Any], list[dict[str, Any]]]]]]


def first(dataset: Mapping[str, Any], tag: str) -> Any:
    stated = dataset.get(tag, {}).get("Value") or [None]
    return stated[0]


@dataclass
class FedServer:
    """``indexes`` are the archives' by name, ``patient_of`` names FHIR's patient of a PatientID, ``subject`` the study's."""

    directory: Path
    port: int
    indexes: dict[str, Index] = field(default_factory=dict)
    subject: Callable[[str], dict[str, Any]] = lambda number: {}
    address_of: Callable[[str], str] = lambda archive: ""
    change: Change = lambda study: [study]
    """What becomes of each study before it is stored."""
    instead: Callable[[], Response | None] = lambda: None
    accepts: Callable[[str], bool] | None = None
    """Which tokens are taken; None = none is wanted."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def app(self) -> Flask:
        settings = demo_settings(
            base_url=f"http://127.0.0.1:{self.port}", app_url="http://127.0.0.1:1", state_dir=self.directory, open_fhir=True
        )
        app = create_ehr(settings)
        self.records = FhirStore(self.directory / "fhir.sqlite3", settings.fhir_base)
        self.stored: dict[str, dict[str, Any]] = {}

        @app.before_request
        def _record() -> Response | None:
            self.asked.append((request.full_path, dict(request.headers)))
            instead = self.instead()
            if self.accepts is not None and request.path.startswith("/fhir/ImagingStudy"):
                token = request.environ.pop("HTTP_AUTHORIZATION", "").removeprefix("Bearer ")
                instead = instead or (None if self.accepts(token) else Response(status=401))
            if instead is None:
                self.follow_archives()
            return instead

        return app

    def follow_archives(self) -> None:
        """Stores what has changed, and takes away what is gone."""
        wanted = {f"{one['resourceType']}/{one['id']}": one for one in (*self._endpoints(), *self._studies())}
        for name, resource in wanted.items():
            if self.stored.get(name) != resource:
                self.records.put(resource)
        for name in set(self.stored) - set(wanted):
            self.records.delete(*name.split("/"))
        self.stored = wanted

    def _endpoints(self) -> list[dict[str, Any]]:
        return [
            {
                "resourceType": "Endpoint",
                "id": f"at-{name}",
                "status": "active",
                "connectionType": {"system": ENDPOINT_TYPES, "code": "dicom-wado-rs"},
                "payloadType": [{"coding": [{"system": PAYLOADS, "code": "any"}]}],
                "address": self.address_of(name),
            }
            for name in self.indexes
        ]

    def _studies(self) -> list[dict[str, Any]]:
        holders: dict[str, list[str]] = {}
        for name, index in self.indexes.items():
            for uid in index:
                holders.setdefault(uid, []).append(name)
        described = [self._study(uid, names, self.indexes[names[0]][uid]) for uid, names in holders.items()]
        return [changed for one in described for changed in self.change(one)]

    def _study(self, uid: str, names: list[str], held: Any) -> dict[str, Any]:
        study, series = held
        accession = first(study, "00080050")
        number_of = {"numberOfSeries": "00201206", "numberOfInstances": "00201208"}
        numbers = {name: int(first(study, tag)) for name, tag in number_of.items() if first(study, tag) is not None}
        typed = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}
        return {
            "resourceType": "ImagingStudy",
            "id": f"study-{uid.replace('.', '-')}",
            "identifier": [
                {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"},
                *([{"type": typed, "value": accession}] if accession else []),
            ],
            "status": "available",
            "subject": self.subject(first(study, "00100020")),
            "started": _started(study),
            "endpoint": [{"reference": f"Endpoint/at-{name}"} for name in names],
            "modality": [{"system": DCM, "code": code} for code in (study.get("00080061") or {}).get("Value", [])]
            or [{"system": DCM, "code": first(one, "00080060")} for one, _ in series],
            "description": first(study, "00081030"),
            "series": [_series(*one) for one in series],
            **numbers,
        }


def _started(study: dict[str, Any]) -> str:
    day, time, zone = (first(study, tag) for tag in ("00080020", "00080030", "00080201"))
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}"
    if time is None or zone is None:
        return date
    return f"{date}T{time[:2]}:{time[2:4]}:{time[4:]}{zone[:3]}:{zone[3:]}"


def _series(series: dict[str, Any], instances: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "uid": first(series, "0020000E"),
        "number": int(first(series, "00200011")),
        "modality": {"system": DCM, "code": first(series, "00080060")},
        "numberOfInstances": int(first(series, "00201209")),
        "instance": [
            {
                "uid": first(one, "00080018"),
                "sopClass": {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{first(one, '00080016')}"},
                "number": int(first(one, "00200013")),
            }
            for one in instances
        ],
    }


def lacks_something(bundle: dict[str, Any]) -> bool:
    """Whether a list says of itself that it is not whole."""
    outcomes = [one["resource"] for one in bundle.get("entry", []) if one["search"]["mode"] == "outcome"]
    return bool(outcomes) and "total" not in bundle and outcomes[0]["issue"][0]["severity"] == "warning"


def only_for(
    uid: str, change: Callable[[dict[str, Any]], list[dict[str, Any]]]
) -> Callable[[dict[str, Any]], list[dict[str, Any]]]:
    """Changes the resource of one study before it is stored."""
    return lambda study: change(study) if uid in study["identifier"][0]["value"] else [study]
