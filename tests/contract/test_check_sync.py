"""``imaging-cds check`` of a [[sync]]: each fault is told in words with what to do, nothing is written, no number is shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from flask import Response, request

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.errors import ConfigurationError
from fhir_imaging.fhir_mapping.endpoint import SyncedEndpoint, synced_endpoint
from fhir_imaging.fhir_versions import FhirVersion
from fhir_imaging.uids import StudyInstanceUID
from imaging_cds.check_report import Finding, Verdict
from imaging_cds.check_sync import check_sync
from imaging_cds.cli import main
from imaging_cds.settings import load
from pacs_sync.qido_source import QidoSource
from pacs_sync.settings import ResourceIds
from tests.conftest import free_port_number, serving
from tests.pacs_actors import RunningPacs, a_running_pacs, write_demo
from tests.sync_actors import MRN, FhirServer, a_patient
from tests.sync_config import sync_config


@dataclass
class Site:
    """An archive and a FHIR server, and the settings that join them."""

    pacs: RunningPacs
    fhir: FhirServer
    config: Path

    def findings(self, *changes: tuple[str, str]) -> list[Finding]:
        words = _settings(self)
        for old, new in changes:
            assert old in words
            words = words.replace(old, new)
        self.config.write_text(words)
        settings = load(self.config, {})
        return list(check_sync(settings, settings.sync[0]))

    def worse(self, *changes: tuple[str, str]) -> dict[str, Finding]:
        return {one.what: one for one in self.findings(*changes) if one.verdict in (Verdict.WARNING, Verdict.FAULT)}

    def states(self, bend: Callable[[dict[str, Any]], object]) -> None:
        """What its CapabilityStatement says in place of the true one."""

        def change(response: Response) -> Response:
            if request.path.endswith("/metadata"):
                statement = json.loads(response.get_data())
                bend(statement)
                response.set_data(json.dumps(statement))
            return response

        self.fhir.change = change


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    images, fhir = tmp_path / "images", FhirServer(directory=tmp_path / "fhir", port=free_port_number())
    write_demo(images)
    fhir.directory.mkdir()
    with a_running_pacs(tmp_path / "pacs", images) as pacs, serving(fhir.app(), fhir.port):
        for letter, number in (("a", "DEMO-1001"), ("b", "DEMO-1002"), ("c", "DEMO-1003")):
            fhir.records.put(a_patient(f"pat-{letter}", number))
        yield Site(pacs, fhir, tmp_path / "app.toml")


def _settings(site: Site) -> str:
    more = ('time_zone = "Europe/Berlin"', 'accession_system = "urn:x:accession"')
    return sync_config(site.config.parent / "state", site.pacs.url, site.fhir.base, *more, ids=ResourceIds.STUDY_UID)


def test_a_sound_one_has_nothing_that_would_fail_and_nothing_is_written(site: Site) -> None:
    found = site.findings()

    assert [one.what for one in found if one.verdict is not Verdict.OK] == []
    assert "It says that it is FHIR R4." in [one.what for one in found]
    assert "Of 3 studies 3 belong to exactly one patient there." in [one.what for one in found]
    assert site.fhir.writes == []
    assert "DEMO-100" not in " ".join(one.what + one.remedy for one in found)


def test_an_issuer_that_no_rule_names_is_told_with_the_line_to_add(site: Site) -> None:
    (found,) = site.worse(('"DEMO"', '"OTHER"')).values()
    assert "3 studies carry numbers of the issuer 'DEMO'" in found.what
    assert "issuer_of_patient_id = 'DEMO'" in found.remedy


def test_a_system_that_the_fhir_server_does_not_use_is_told(site: Site) -> None:
    (found,) = site.worse((MRN, "https://elsewhere.example/mrn")).values()
    assert "None of 3 patients of the archive was found" in found.what
    assert "byte for byte" in found.remedy


def test_no_rules_are_told(site: Site) -> None:
    told = site.worse((f'patients = [{{ system = "{MRN}", issuer_of_patient_id = "DEMO" }}]', ""))
    assert "every study would be held" in " ".join(told)


def test_times_without_a_zone_are_told_unless_the_archive_names_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    no_zone = ('time_zone = "Europe/Berlin"', "")
    assert site.worse(no_zone) == {}, "these images name their offset"
    whole = QidoSource.study

    def dateless(source: QidoSource, uid: StudyInstanceUID) -> ArchivedStudy | None:
        found = whole(source, uid)
        return found and replace(found, started="2026-03-15")

    monkeypatch.setattr(QidoSource, "study", dateless)
    assert [one.remedy[:14] for one in site.worse(no_zone).values()] == ["Give time_zone"]


def test_an_archive_or_a_server_that_is_away_or_answers_a_page_is_told(site: Site) -> None:
    nowhere = f"http://127.0.0.1:{free_port_number()}"
    assert "does not list its studies" in " ".join(site.worse((f'"{site.pacs.url}"', f'"{nowhere}/dicom-web"')))
    told = site.worse((f'target = {{ fhir_base = "{site.fhir.base}"', f'target = {{ fhir_base = "{nowhere}/fhir"'))
    assert [words.partition(":")[0] for words in told] == ["It cannot be used"]
    site.fhir.instead = lambda: Response("<html>sign in</html>", mimetype="text/html")
    assert [words.partition(":")[0] for words in site.worse()] == ["It cannot be used"]


def test_a_server_that_does_not_let_patients_be_searched_is_told(site: Site) -> None:
    site.fhir.instead = lambda: Response(status=403) if "/Patient" in request.path else None
    (found,) = site.worse().values()
    assert "Patients cannot be searched" in found.what
    assert "system/Patient.rs" in found.remedy


@pytest.mark.parametrize(
    ("kind", "interactions", "told"),
    [
        ("ImagingStudy", ["read"], "Of ImagingStudy it lists no search-type and no update."),
        ("Patient", ["read"], "Of Patient it lists no search-type."),
        ("Device", None, "It lists no Device."),
    ],
)
def test_what_the_server_does_not_take_is_told(site: Site, kind: str, interactions: list[str] | None, told: str) -> None:
    def bend(statement: dict[str, Any]) -> None:
        types = statement["rest"][0]["resource"]
        of_kind = next(one for one in types if one["type"] == kind)
        if interactions is None:
            types.remove(of_kind)
        else:
            of_kind["interaction"] = [{"code": one} for one in interactions]

    site.states(bend)
    assert list(site.worse()) == [told]


def test_a_release_that_cannot_be_written_is_told(site: Site) -> None:
    site.states(lambda statement: statement.update(fhirVersion="3.0.2"))
    assert "3.0.2" in " ".join(site.worse())


def test_scopes_that_leave_something_out_are_told(site: Site) -> None:
    client = 'backend_client_id = "sync", backend_scopes = "system/Patient.rs system/ImagingStudy.rs"'
    told = " ".join(site.worse(('ids = "study-uid"', f'ids = "study-uid", {client}')))
    assert "backend_scopes do not ask for system/ImagingStudy.crus, system/Endpoint.crus" in told


def test_settings_that_contradict_each_other_do_not_come_so_far(site: Site) -> None:
    with pytest.raises(ConfigurationError):
        site.findings(("/dicom-web/main", "/dicom-web/main/"))


def test_check_tells_of_synchronisations_beside_the_ehrs(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.findings()
    main(["check", "--config", str(site.config), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert [one["issuer"] for one in told["ehrs"]] == [site.fhir.base]
    assert [(one["name"], one["verdict"]) for one in told["syncs"]] == [("main", "ok")]

    main(["check", "--config", str(site.config)])
    assert "Synchronisation main" in capsys.readouterr().out


def test_a_server_that_forgets_or_does_not_find_our_mark_is_told(site: Site) -> None:
    """Known where something was written before; until then the first write tells."""
    assert not any("mark" in one.what for one in site.findings())
    address, tag = "http://localhost:8000/imaging/north/dicom-web/main", {"system": "urn:imaging-cds:sync", "code": "main"}
    made = SyncedEndpoint(address=address, name="main", source="urn:imaging-cds:sync:main", resource_id="1")
    written = synced_endpoint(made, FhirVersion.R4)

    site.fhir.records.put({**written, "meta": {"tag": [tag]}})
    assert any("keeps the marks" in one.what for one in site.findings() if one.verdict is Verdict.OK)

    def finds_nothing(response: Response) -> Response:
        if request.args.get("_tag"):
            response.set_data(json.dumps({"resourceType": "Bundle", "type": "searchset"}))
        return response

    site.fhir.change = finds_nothing
    (what, blind), *_ = [one for one in site.worse().items() if "mark" in one[0]]
    assert (blind.verdict, "does not find it by them" in what) == (Verdict.FAULT, True)

    site.fhir.change = lambda response: response
    site.fhir.records.put(written)
    (what, forgetful), *_ = [one for one in site.worse().items() if "mark" in one[0]]
    assert (forgetful.verdict, "drops meta.tag" in what) == (Verdict.WARNING, True)
    assert "have the server keep meta.tag" in forgetful.remedy
