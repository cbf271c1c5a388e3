"""``imaging-cds check`` on whose images the gateway would serve: each way of ownership sound, and each fault with its remedy.

Spec: SMART Imaging Access F1, F2, F11, W4, M10; DESIGN §8.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from flask import Response, jsonify, request

from fhir_imaging.client_keys import ClientKeys
from imaging_cds.cli import main
from tests.conftest import free_port_number, serving
from tests.security.archive_index import MRN, Index, PatientRecord, a_study, identifier
from tests.security.backend_authority import CLIENT, BackendAuthority
from tests.security.gateway_stubs import PACS_PASSWORD, STUDY_A, StubEhr, StubPacs

AREA = "Whose images: ownership"
RULE = {"system": MRN, "issuer_of_patient_id": "NORTH"}


@dataclass
class Site:
    """An installation's settings file between an EHR and an archive that a test bends."""

    directory: Path
    ehr: StubEhr
    pacs: StubPacs
    index: Index
    record: PatientRecord
    known_as: dict[str, Any] = field(default_factory=dict)
    rule: dict[str, Any] | None = field(default_factory=lambda: dict(RULE))
    archives: bool = True
    others: list[dict[str, Any]] = field(default_factory=list)
    reaches: dict[str, list[str]] = field(default_factory=dict)
    components: tuple[str, ...] = ("smart_app", "imaging_server")

    def states(self, *searches: str, resource: str = "ImagingStudy") -> None:
        """What the EHR's CapabilityStatement lists."""
        listed = {"type": resource, "searchParam": [{"name": name} for name in searches]}
        self.ehr.answers["/fhir/metadata"] = lambda: jsonify(fhirVersion="4.0.1", rest=[{"resource": [listed]}])

    def findings(
        self, capsys: pytest.CaptureFixture[str], *options: str, patient: bool = True, area: str = AREA
    ) -> list[dict[str, str]]:
        """The check's findings about ownership, or another area, as programs get them."""
        lent = self.directory / "token"
        lent.write_text(self.ehr.token())
        with_patient = ["--token-file", str(lent), "--patient", "pat-a"] if patient else []
        main(["check", "--issuer", self.ehr.fhir_base, "--config", str(self.written()), "--json", *with_patient, *options])
        told = json.loads(capsys.readouterr().out)
        return [one for one in told["findings"] if one["area"] == area]

    def written(self) -> Path:
        """The settings file."""
        archive = {"name": "main", "dicomweb_root": self.pacs.root, "user": "gateway", "password": PACS_PASSWORD}
        table: dict[str, Any] = {
            "public_base_url": "http://localhost:8000",
            "components": list(self.components),
            "state": {"state_dir": str(self.directory / "state")},
            "ehr": [{"name": "north", "fhir_base": self.ehr.fhir_base, **self.known_as}, *self.others],
            **({"pacs": [archive]} if self.archives else {}),
            "imaging_server": {
                **({"patient_identifiers": {"north": self.rule}} if self.rule else {}),
                "pacs_by_ehr": self.reaches,
            },
        }
        path = self.directory / "site.toml"
        path.write_text(tomli_w.dumps(table))
        return path


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Sound for both ways: one study, in FHIR as in the archive."""
    with ExitStack() as stack:
        ehr, pacs = StubEhr("north"), StubPacs()
        for one in (ehr, pacs):
            one.base = stack.enter_context(serving(one.app(), free_port_number()))
        ehr.studies[STUDY_A] = "pat-a"
        index = Index(pacs)
        index.holds(a_study(STUDY_A, "MRN-A"))
        made = Site(tmp_path, ehr, pacs, index, PatientRecord(ehr, [identifier("MRN-A")]))
        made.states("patient", "identifier")
        yield made


def verdicts(findings: list[dict[str, str]]) -> list[str]:
    return [one["verdict"] for one in findings]


def test_a_sound_ehr_with_imaging_study_says_which_way_decides(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    findings = site.findings(capsys)

    assert set(verdicts(findings)) == {"ok"}
    assert findings[0]["what"].startswith("ownership = fhir: a study is served where ImagingStudy at")
    assert any("one asked for by itself is confirmed" in one["what"] for one in findings)
    assert any("Archive main has studies under the patient's number" in one["what"] for one in findings)


def test_what_is_said_of_a_search_without_identifier_is_what_callers_meet(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """An EHR that overlooks the identifier: what is on its second page is served."""
    of_patient = {"subject": {"reference": "Patient/pat-a"}}
    here, there = (site.ehr.imaging_study(uid, **of_patient) for uid in ("2.25.77", STUDY_A))
    overlooks(site, [here], [there])
    served = site.findings(capsys)

    assert any("one asked for by itself is confirmed" in one["what"] for one in served), served


def overlooks(site: Site, *pages: list[dict[str, Any]]) -> None:
    """One page after another, whatever is asked for."""

    def answer() -> Response:
        number = int(request.args.get("page", "0"))
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset"}
        bundle["entry"] = [{"resource": one} for one in pages[number]]
        if number + 1 < len(pages):
            bundle["link"] = [{"relation": "next", "url": f"{site.ehr.fhir_base}/ImagingStudy?page={number + 1}"}]
        return jsonify(bundle)

    site.ehr.answers["/fhir/ImagingStudy"] = answer


def test_a_sound_ehr_by_numbers_says_which_system_decides(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.known_as = {"ownership": "identifier"}
    findings = site.findings(capsys)

    assert set(verdicts(findings)) == {"ok"}
    assert (
        findings[0]["what"]
        == f"ownership = identifier: a study is served where its PatientID is the patient's number of {MRN}."
    )
    assert "/fhir/metadata" not in [one.path for one in site.ehr.asked if one.headers.get("Authorization")]


def test_without_a_patient_the_settings_alone_are_judged_and_the_archive_is_left_alone(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.known_as = {"ownership": "identifier"}
    findings = site.findings(capsys, patient=False)

    assert set(verdicts(findings)) == {"ok", "note"}
    assert site.pacs.asked == []


def by_number(**changes: Any) -> Callable[[Site], None]:
    def bend(site: Site) -> None:
        site.known_as = {"ownership": "identifier", **changes}

    return bend


def all_of(*bends: Callable[[Site], None]) -> Callable[[Site], None]:
    def bend(site: Site) -> None:
        for one in bends:
            one(site)

    return bend


def setting(**members: Any) -> Callable[[Site], None]:
    return lambda site: site.__dict__.update(members)


def having(*identifiers: dict[str, Any], **more: Any) -> Callable[[Site], None]:
    return lambda site: site.record.__dict__.update(identifiers=list(identifiers), **more)


def archived(number: str, issuer: str | None) -> Callable[[Site], None]:
    return lambda site: site.index.studies.__setitem__(slice(None), [a_study(STUDY_A, number, issuer)])


def archive_says(status: int) -> Callable[[Site], None]:
    return lambda site: setattr(site.index, "instead", lambda asked: Response("no", status))


def ehr_says(path: str, status: int, body: str = "{}") -> Callable[[Site], None]:
    return lambda site: site.ehr.answers.__setitem__(path, lambda: Response(body, status, content_type="application/json"))


def unlisted_by_identifier(site: Site) -> None:
    """An EHR that compares identifiers without their system finds nothing."""
    bundle = {"resourceType": "Bundle", "type": "searchset", "entry": [{"resource": site.ehr.imaging_study(STUDY_A)}]}
    empty = {"resourceType": "Bundle", "type": "searchset"}
    site.ehr.answers["/fhir/ImagingStudy"] = lambda: jsonify(empty if "identifier" in request.args else bundle)


FAULTS: list[tuple[str, Callable[[Site], None], str, str, str]] = [
    ("no ImagingStudy", lambda s: s.states(resource="Patient"), "fault", "has no ImagingStudy", 'ownership = "identifier"'),
    ("no search by patient", lambda s: s.states("identifier"), "fault", "cannot be searched by patient", "every image"),
    ("no search by identifier", lambda s: s.states("patient"), "note", "patient's whole list is read", "F1"),
    ("no statement", ehr_says("/fhir/metadata", 404), "warning", "no CapabilityStatement (HTTP 404)", "Try a patient"),
    ("searches refused", ehr_says("/fhir/ImagingStudy", 401), "fault", "could not be asked", "refuses while"),
    ("no study of the patient", lambda s: s.ehr.studies.clear(), "warning", "names no study for this patient", "subjects"),
    ("identifier search finds nothing", unlisted_by_identifier, "fault", "not found when it is asked for by", "system (F1)"),
    ("no archive", setting(archives=False), "note", "No archive is configured", "[[pacs]]"),
    ("no rule beside ImagingStudy", setting(rule=None), "note", "is not compared", "patient_identifiers.north"),
    (
        "no issuer beside ImagingStudy",
        setting(rule={"system": MRN}),
        "note",
        "issuer of the archives' numbers",
        "is_only_issuer",
    ),
    ("no rule", all_of(by_number(), setting(rule=None)), "fault", "No rule says", "patient_identifiers.north"),
    ("no issuer", all_of(by_number(), setting(rule={"system": MRN})), "fault", "names no issuer", "is_only_issuer"),
    (
        "no number of the system",
        all_of(by_number(), having(identifier("7", system="https://other.example"))),
        "fault",
        "those that it has are of https://other.example",
        "as system of the rule",
    ),
    ("a number that is old", all_of(by_number(), having(identifier("MRN-A", use="old"))), "fault", "cannot be used", "in use"),
    ("a number with a wild card", all_of(by_number(), having(identifier("MRN*"))), "fault", "wild card", "in use"),
    (
        "Patient not readable",
        all_of(by_number(), having(readers=lambda token: False)),
        "fault",
        "may not read the patient",
        "patient/Patient.r",
    ),
    (
        "no scope for Patient",
        by_number(scopes="launch patient/ImagingStudy.rs"),
        "warning",
        "may not read Patient",
        "patient/Patient.r",
    ),
    (
        "nothing in the archive",
        all_of(by_number(), archived("OTHER", "NORTH")),
        "warning",
        "has nothing under",
        "leading zeros",
    ),
    (
        "another issuer",
        all_of(by_number(), archived("MRN-A", "SOUTH")),
        "warning",
        "issuer is SOUTH and not NORTH",
        "is_only_issuer",
    ),
    ("no issuer in the archive", all_of(by_number(), archived("MRN-A", None)), "warning", "issuer is (none)", "is_only_issuer"),
    ("archive out of reach", all_of(by_number(), archive_says(500)), "fault", "could not be searched", "dicomweb_root"),
    ("credential of the archive", all_of(by_number(), archive_says(401)), "fault", "could not be searched", "credential"),
    ("a client that cannot sign in", by_number(backend_client_id=CLIENT), "fault", "cannot sign in", ".well-known/jwks.json"),
    (
        "a client without a rule",
        all_of(setting(rule=None), lambda s: s.known_as.update(backend_client_id=CLIENT)),
        "note",
        "never used",
        "",
    ),
]


@pytest.mark.parametrize(("bend", "verdict", "words", "remedy"), [one[1:] for one in FAULTS], ids=[one[0] for one in FAULTS])
def test_each_fault_is_named_with_what_to_do(
    site: Site,
    capsys: pytest.CaptureFixture[str],
    bend: Callable[[Site], None],
    verdict: str,
    words: str,
    remedy: str,
) -> None:
    bend(site)

    found = [one for one in site.findings(capsys) if words in one["what"]]

    assert [one["verdict"] for one in found] == [verdict], site.findings(capsys)
    assert remedy in found[0].get("remedy", "")


def test_our_own_client_reads_the_number_where_the_callers_token_may_not(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    """F11: it signs in with the keys that this installation publishes."""
    keys = ClientKeys.of(site.directory / "state")
    authority = BackendAuthority(site.ehr, lambda: dict(keys.jwks(0)))
    site.record.readers = lambda token: token in authority.issued
    site.known_as = {"ownership": "identifier", "backend_client_id": CLIENT}

    findings = site.findings(capsys)

    assert set(verdicts(findings)) == {"ok"}, findings
    assert any(f"own client {CLIENT} signs in" in one["what"] for one in findings)
    assert authority.faults == []


def test_numbers_and_tokens_are_never_printed(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.known_as = {"ownership": "identifier"}
    site.index.studies[:] = [a_study(STUDY_A, "MRN-A", "SOUTH")]

    printed = json.dumps(site.findings(capsys))

    assert "MRN-A" not in printed
    assert "eyJ" not in printed
    assert STUDY_A not in printed


def test_an_installation_without_an_imaging_server_has_nothing_to_say_of_it(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    site.components = ("smart_app",)

    assert site.findings(capsys) == []


def test_without_an_issuer_every_ehr_of_the_settings_is_checked(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    config = str(site.written())

    main(["check", "--config", config, "--json"])
    told = json.loads(capsys.readouterr().out)
    main(["check", "--config", config])
    words = capsys.readouterr().out

    assert [one["issuer"] for one in told["ehrs"]] == [site.ehr.fhir_base]
    assert AREA in words


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--token-file", "token"], "--token-file needs --issuer"), (["--config", "no/such.toml"], "cannot be read")],
)
def test_without_an_issuer_settings_are_needed_and_no_token_is_taken(
    site: Site, capsys: pytest.CaptureFixture[str], options: list[str], words: str
) -> None:
    config = [] if "--config" in options else ["--config", str(site.written())]

    assert main(["check", *config, *options]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def elsewhere(site: Site) -> Iterator[StubEhr]:
    """Another server that has the EHR's studies."""
    images = StubEhr("images")
    with serving(images.app(), free_port_number()) as images.base:
        images.studies[STUDY_A] = "pat-a"
        site.known_as = {"imaging_base": images.fhir_base}
        yield images


def test_group_11_studies_of_another_server_are_judged_by_whom_their_references_mean(
    site: Site, elsewhere: StubEhr, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative subject is a patient of that server; the site is told before anybody is refused."""
    findings = site.findings(capsys)

    (warned,) = [one for one in findings if "is not the EHR's patient ID" in one["what"]]
    assert (warned["verdict"], "imaging_base_has_ehr_ids = true" in warned["remedy"]) == ("warning", True)
    assert any(f"whose subject is {site.ehr.fhir_base}/Patient/pat-a" in one["what"] for one in findings)


@pytest.mark.parametrize(("alike", "verdicts"), [(False, ["warning"]), (True, [])])
def test_group_29_studies_that_the_list_leaves_out_are_counted_whatever_the_gateway_goes_by(
    site: Site, elsewhere: StubEhr, capsys: pytest.CaptureFixture[str], alike: bool, verdicts: list[str]
) -> None:
    site.known_as |= {"imaging_base_has_ehr_ids": alike, "ownership": "identifier"}

    findings = site.findings(capsys, area="Studies and Endpoints")

    left_out = [one for one in findings if "which the list leaves out: 1 of 1" in one["what"]]
    assert "Studies of the patient that are read: 1." in [one["what"] for one in findings]
    assert [one["verdict"] for one in left_out] == verdicts
    assert all("imaging_base_has_ehr_ids = true" in one["remedy"] for one in left_out)


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("MRN-A", ("ok", "no other number and date of birth")),
        ("MRN-B", ("fault", "is another person than at the EHR")),
        (None, ("note", "was not compared")),
        ("nobody's", ("note", "By your word")),
    ],
)
def test_group_11_the_sites_word_that_both_number_alike_is_tried_with_a_patient(
    site: Site,
    elsewhere: StubEhr,
    capsys: pytest.CaptureFixture[str],
    number: str | None,
    told: tuple[str, str],
) -> None:
    site.known_as["imaging_base_has_ehr_ids"] = True
    PatientRecord(elsewhere, [identifier(number or "")], readers=lambda _: number is not None)

    findings = site.findings(capsys, patient=number != "nobody's")

    assert [one["verdict"] for one in findings if told[1] in one["what"]] == [told[0]], findings
    assert "MRN" not in json.dumps(findings)


@pytest.mark.parametrize(
    ("reaches", "verdict", "words"),
    [({}, "warning", "archives that are open to South Hospital"), ({"south": []}, "note", "ImagingStudy alone decides.")],
    ids=["one archive", "an archive each"],
)
def test_group_11_the_word_of_one_ehr_about_archives_of_several_is_warned_of(
    site: Site, capsys: pytest.CaptureFixture[str], reaches: dict[str, list[str]], verdict: str, words: str
) -> None:
    """Whoever may write an ImagingStudy at one EHR names any study of the archive."""
    site.others = [{"name": "south", "display_name": "South Hospital", "fhir_base": "https://south.example/fhir"}]
    site.rule, site.reaches = None, reaches

    findings = site.findings(capsys, patient=False)

    assert [one["verdict"] for one in findings if words in one["what"]] == [verdict], findings
