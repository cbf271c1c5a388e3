"""The imaging FHIR endpoint between an EHR and two archives that keep an index, and what an app asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response

from fhir_imaging.clients.backend_client import SignAssertion
from fhir_imaging.settings import Ownership, StateSettings, StudiesServerSettings
from fhir_imaging.store.engine import Store
from fhir_imaging.web import install
from imaging_server.fhir_views import error_surfaces
from imaging_server.services import build_services
from imaging_server.settings import ImagingServerSettings, PatientIdentifierRule
from imaging_server.views import create_blueprint, error_surface
from tests.conftest import free_port_number, serving
from tests.contract.fed_actors import FedServer
from tests.security.gateway_actors import VIEWER_ORIGIN, Answer, World
from tests.security.gateway_stubs import Asked, StubEhr, StubPacs, dicom_json

CT_A, MR_A, DX_A, CT_B = "2.25.11", "2.25.12", "2.25.13", "2.25.22"
MRN = "https://mrn.example"
RULE = PatientIdentifierRule(system=MRN, issuer_of_patient_id="NORTH")
CT_IMAGE, SR_DOCUMENT = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.22"


def tagged(**texts: object) -> dict[str, Any]:
    """DICOM JSON out of ``x00100020="MRN-A"``; lists are several values, None leaves the attribute out."""
    return {
        tag[1:]: {"vr": "UN", "Value": value if isinstance(value, list) else [value]}
        for tag, value in texts.items()
        if value is not None
    }


@dataclass
class IndexedPacs(StubPacs):
    """An archive that searches by PatientID and StudyInstanceUID. ``index``: study → (its data set, series → instances)."""

    index: dict[str, tuple[dict[str, Any], list[tuple[dict[str, Any], list[dict[str, Any]]]]]] = field(default_factory=dict)

    def usual(self, asked: Asked) -> Response:
        segments = asked.path.removeprefix("/archive/dicom-web/").split("/")
        if segments == ["studies"]:
            numbers, uids = (set(",".join(asked.query.get(name, [])).split(",")) for name in ("PatientID", "StudyInstanceUID"))
            found = [study for study, _ in self.index.values()]
            if numbers != {""}:
                found = [one for one in found if one["00100020"]["Value"][0] in numbers]
            if uids != {""}:
                found = [one for one in found if one["0020000D"]["Value"][0] in uids]
            return dicom_json(found)
        study, series = self.index.get(segments[1], ({}, []))
        if not study:
            return Response(status=404)
        own = {"0020000D": study["0020000D"]}
        if segments[-1] == "series":
            return dicom_json([own | one for one, _ in series])
        # What the path names, and nothing else of it; metadata has what a file has: what is known of study and series too.
        named = dict(zip(segments[::2], segments[1::2], strict=False))
        is_file = segments[-1] == "metadata"
        wanted = ((one, each) for one, all_of in series if _is(one, "0020000E", named.get("series")) for each in all_of)
        found = [
            (study | one if is_file else own | {"0020000E": one["0020000E"]}) | each
            for one, each in wanted
            if _is(each, "00080018", named.get("instances"))
        ]
        return dicom_json(found)

    def holds(self, uid: str, modality: str = "CT", count: int = 2, **changes: object) -> None:
        """Takes in a study of patient A with one series of ``count`` instances; ``changes`` are its attributes."""
        stated: dict[str, object] = {
            **{"x0020000D": uid, "x00100020": "MRN-A", "x00100021": "NORTH", "x00080061": [modality]},
            **{"x00201206": 1, "x00201208": count, "x00080020": "20260915", "x00081030": f"{modality} study"},
        }
        series = tagged(x0020000E=f"{uid}.1", x00200011="1", x00080060=modality, x00201209=str(count))
        sop_class = SR_DOCUMENT if modality == "SR" else CT_IMAGE
        instances = [
            tagged(x00080018=f"{uid}.1.{number}", x00080016=sop_class, x00200013=number) for number in range(count, 0, -1)
        ]
        self.index[uid] = (tagged(**{**stated, **changes}), [(series, instances)])

    def adds_series(self, uid: str, number: int, modality: str, count: int) -> None:
        """A further series of a study that is held."""
        series = tagged(x0020000E=f"{uid}.{number}", x00200011=number, x00080060=modality, x00201209=count)
        sop_class = SR_DOCUMENT if modality == "SR" else CT_IMAGE
        instances = [tagged(x00080018=f"{uid}.{number}.{n}", x00080016=sop_class, x00200013=n) for n in range(1, count + 1)]
        self.index[uid][1].append((series, instances))


def _is(dataset: dict[str, Any], tag: str, uid: str | None) -> bool:
    return uid is None or dataset[tag]["Value"] == [uid]


@dataclass
class ImagingFhir(World):
    """The world of the gateway with a second archive, and the EHR ``north`` asked by FHIR."""

    second: IndexedPacs = field(default_factory=IndexedPacs)
    server: FedServer | None = None
    """The FHIR server that describes the studies, where it is not the archives."""

    @property
    def fed(self) -> FedServer:
        assert self.server is not None
        return self.server

    @property
    def base(self) -> str:
        return f"{self.url}/imaging/north/fhir"

    @property
    def main(self) -> IndexedPacs:
        assert isinstance(self.pacs, IndexedPacs)
        return self.pacs

    def ask(
        self, path: str, token: str | None = None, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> Answer:
        """One request below the FHIR base; header names are written with underscores."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return self.send(method, f"/imaging/north/fhir{path}", sent, body)

    def search(self, token: str | None = None, **params: Any) -> Answer:
        """ImagingStudy?patient=pat-a&…; lists repeat a parameter, ``id``, ``count`` and their like get their underscore."""
        named = {f"_{name}" if name in UNDERSCORED else name: value for name, value in params.items()}
        query = urlencode({"patient": "pat-a", **named}, doseq=True)
        return self.ask(f"/ImagingStudy?{query}", token or self.north.token())

    def listed(self, token: str | None = None, **params: Any) -> list[str]:
        """The UIDs of a search's matches, in their order."""
        return uids_of(self.search(token, **params))

    def start_anew(self) -> None:
        """Three studies of patient A (one in both archives, one in the second only), and one of B."""
        World.start_anew(self)
        self.north.identifiers.update(
            {"pat-a": [{"system": MRN, "value": "MRN-A"}], "pat-b": [{"system": MRN, "value": "MRN-B"}]}
        )
        self.north.studies.clear()
        self.north.studies.update({CT_A: "pat-a", MR_A: "pat-a", DX_A: "pat-a", CT_B: "pat-b"})
        self.north.modalities.update({MR_A: ["MR"], DX_A: ["DX"]})
        self.second.asked.clear()
        self.second.answer = lambda asked: None
        if self.server is not None:
            self.server.change = lambda study: [study]
            self.server.instead = lambda: None
            self.server.asked.clear()
        for archive in (self.main, self.second):
            archive.index.clear()
        stated = {"x00080020": "20261001", "x00080030": "101112.5", "x00080201": "+0100", "x00080050": "ACC-1"}
        self.main.holds(CT_A, count=3, **stated, x00080061=["SR", "CT"], x00201206=2, x00201208=4)
        self.main.adds_series(CT_A, 2, "SR", 1)
        self.main.holds(MR_A, "MR")
        self.main.holds(CT_B, x00100020="MRN-B")
        self.second.holds(MR_A, "MR")
        self.second.holds(DX_A, "DX", x00080020="20250101")


UNDERSCORED = frozenset({"id", "lastUpdated", "include", "sort", "count", "format", "total"})


def uids_of(answer: Answer) -> list[str]:
    """The UIDs of the matches on a page."""
    assert answer.status == 200, answer.body
    entries = answer.json().get("entry", [])
    return [one["resource"]["id"] for one in entries if one["search"]["mode"] == "match"]


def link(answer: Answer, relation: str) -> str | None:
    """The address behind a relation."""
    found = [one["url"] for one in answer.json()["link"] if one["relation"] == relation]
    return found[0] if found else None


def only_at(archive: IndexedPacs, ending: str, answer: Callable[[], Response]) -> None:
    """Makes an archive answer paths that end like this in another way."""
    archive.answer = lambda asked: answer() if asked.path.endswith(ending) else None


PATIENTS = {"MRN-A": "pat-a", "MRN-B": "pat-b"}


def by_reference_and_number(north: StubEhr, number: str) -> dict[str, Any]:
    """A subject as ``pacs_sync`` writes it where it knows the EHR's patient."""
    reference = f"{north.fhir_base}/Patient/{PATIENTS[number]}"
    return {"reference": reference, "identifier": {"system": MRN, "value": number}}


def _fed_server(stack: ExitStack, state_dir: Path, worlds: list[ImagingFhir], north: StubEhr) -> FedServer:
    server = FedServer(state_dir.with_name(f"{state_dir.name}-fed"), free_port_number())
    server.subject = lambda number: by_reference_and_number(north, number)
    server.address_of = lambda archive: f"{worlds[0].url}/imaging/north/dicom-web/{archive}"
    stack.enter_context(serving(server.app(), server.port))
    return server


@contextmanager
def an_imaging_fhir(
    state_dir: Path,
    ownership: Ownership = Ownership.IDENTIFIER,
    *,
    server: dict[str, Any] | None = None,
    archive: dict[str, Any] | None = None,
    fed: dict[str, Any] | Callable[[StubEhr], dict[str, Any]] | None = None,
    sign: SignAssertion | None = None,
) -> Iterator[ImagingFhir]:
    """The running endpoint, whose EHR ``north`` has ImagingStudy (``fhir``) or not (``identifier``).

    ``archive`` changes the main archive's settings. With ``fed``, a FHIR server describes the studies
    (``StudiesServerSettings`` with these changes, or what is made of the EHR); ``sign`` signs for our client there.
    """
    worlds: list[ImagingFhir] = []
    with ExitStack() as stack:
        north, south, main, second = StubEhr("north"), StubEhr("south"), IndexedPacs(), IndexedPacs()
        studies = None if fed is None else _fed_server(stack, state_dir, worlds, north)
        for counterpart in (north, south, main, second):
            counterpart.base = stack.enter_context(serving(counterpart.app(), free_port_number()))
        described_by: dict[str, Any] = {}
        if studies is not None and fed is not None:
            changes = fed(north) if callable(fed) else fed
            described_by["studies_server"] = StudiesServerSettings(**{"fhir_base": studies.base, **changes})
        port = free_port_number()
        rules = {"north": RULE} if ownership is Ownership.IDENTIFIER else {}
        settings = ImagingServerSettings(
            **{
                "public_base_url": f"http://127.0.0.1:{port}",
                "allowed_origins": (VIEWER_ORIGIN,),
                "patient_identifiers": rules,
                "decision_cache_s": 0.001,  # each request is to see what the counterparts say by then
                **(server or {}),
            }
        )
        store = Store.open(StateSettings(state_dir=state_dir))
        stack.callback(store.close)
        store.migrate()
        archives = (main.settings(**(archive or {})), second.settings(name="second"))
        ehrs = (north.settings(ownership=ownership, **described_by), south.settings())
        services = build_services(settings, ehrs, archives, store=store, sign_assertion=sign)
        stack.callback(services.close)
        app = Flask("imaging-fhir", static_folder=None)
        install(app, [error_surface(services), *error_surfaces(services)])
        app.register_blueprint(create_blueprint(services))
        url = stack.enter_context(serving(app, port))
        world = ImagingFhir(url, north, south, main, services, store, second, studies)
        worlds.append(world)
        if studies is not None:
            studies.indexes = {"main": main.index, "second": second.index}
        world.start_anew()
        yield world
