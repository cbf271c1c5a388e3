"""Every word of the pages for people goes through the catalogue of a language (smart-launch.md §8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from fhir_imaging import texts, web
from smart_app import study_findings, study_list, study_words
from smart_app.settings import SmartAppSettings
from tests import texts as collected
from tests.contract.smart_actors import STUDY_A, STUDY_B, World, a_world, imaging_study
from tests.contract.test_smart_findings import lung_rads, of_an_ai

OPEN, SHUT = "⟦", "⟧"
# What the record and the EHR say, the clinical words that list and cards share, and what has no language.
DATA = re.compile(
    r"SYNTHETIC|Alma|DEMO-\d+|CT chest( report)?|\b(CT|MR|SR|KO)\b|\bChest\b|ACC-77|MRI of the knee|Dr R\.|Nodule AI 1\.0|"
    r"Part-solid nodule of 8 mm in the right upper lobe\.|Lung-RADS 4[AB]|refer for further clinical evaluation|"
    r"UTC|Test EHR|https?:\S+|imaging-cds|2\.25\.\d+|demo-a"
)
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")


KNOWN = {message for _, message in collected.messages() if isinstance(message, str)}


class Pseudo(NullTranslations):
    """A language that says the same between brackets, as far as translators were given it."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{SHUT}" if message in KNOWN else message

    def ngettext(self, one: str, many: str, number: int) -> str:
        return f"{OPEN}{one if number == 1 else many}{SHUT}"


class Words(HTMLParser):
    """The words of a page that no bracket encloses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.depth, self.bare, self.code = 0, [], 0
        self.feed(page)

    def _look(self, words: str) -> None:
        kept = []
        for character in words:
            self.depth += (character == OPEN) - (character == SHUT)
            kept.append(character if self.depth == 0 and character not in OPEN + SHUT else " ")
        found = re.findall(r"[A-Za-z]{3,}[^⟦⟧]*", DATA.sub(" ", "".join(kept)))
        self.bare += [one.strip() for one in found if one.strip()]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.code += tag in ("code", "kbd")
        for name, value in attributes:
            if name in ATTRIBUTES or name.startswith(("data-all", "data-some", "data-busy", "data-bar", "data-done")):
                self._look(value or "")

    def handle_endtag(self, tag: str) -> None:
        self.code -= tag in ("code", "kbd")

    def handle_data(self, data: str) -> None:
        if not self.code:
            self._look(data)


@pytest.fixture(autouse=True)
def english_again() -> Iterator[None]:
    """What a test speaks is not heard by the tests after it in this process."""
    yield
    texts.speak(texts.SOURCE_LANGUAGE, NullTranslations())


def rich_record(world: World) -> None:
    """An accession number, objects beside the images, an entry that is no study, a finding and an AI's beside it."""
    beside = [{"code": "CT"}, {"code": "SR"}, {"code": "KO"}]
    series = [{"uid": "2.25.1001.1", "modality": {"code": "CT"}}, {"uid": "2.25.1001.2", "modality": {"code": "SR"}}]
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "value": "ACC-77"}
    study = imaging_study(modality=beside, series=series)
    study["identifier"].append(accession)
    broken = imaging_study(study_id="odd", identifier=[], started="2024-02-03", description="MRI of the knee")
    world.ehr.fhir["ImagingStudy"] = [study, broken]
    world.ehr.fhir["Observation"] = [lung_rads("4B"), {**of_an_ai("4A"), "id": "of-ai"}]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(texts, "catalogue", lambda language, directory: Pseudo())
    with a_world(tmp_path) as made:
        rich_record(made)
        web.install(made.app.flask, [])
        yield made


def bare(page: str) -> list[str]:
    """What is said outside every catalogue."""
    return Words(page).bare


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/open/sandbox/2.25.1",
        "/launch?iss=https://who.example/fhir&launch=x",
        f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}",
        f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}&diagnosticQuality=true",
        "/s/none/studies",
    ],
)
def test_every_word_of_a_page_before_the_sign_in_comes_from_the_catalogue(world: World, path: str) -> None:
    assert bare(world.clinician.get(path).text) == []


def test_every_word_of_the_new_window_page_comes_from_the_catalogue(world: World) -> None:
    page = world.another_clinician().get(f"/launch/go?iss={world.ehr.fhir_base}&launch=x")

    assert "new window" in page.text
    assert bare(page.text) == []


@pytest.mark.parametrize("by", ["year", "region"])
def test_every_word_of_the_list_comes_from_the_catalogue(world: World, by: str) -> None:
    world.clinician.launches(world.ehr)
    page = world.clinician.get(f"/s/{world.clinician.session}/studies?by={by}")

    assert page.status_code == 200
    for shown in ("ACC-77", "key objects", "MRI of the knee", "Lung-RADS 4B", "nobody has signed it"):
        assert shown in page.text, "the record holds what is looked at"
    assert bare(page.text) == []


@pytest.mark.parametrize(
    ("module", "words"), [(study_list, "Accession"), (study_words, "key objects"), (study_findings, "nobody has signed it")]
)
def test_a_word_that_is_not_marked_is_found(
    world: World, monkeypatch: pytest.MonkeyPatch, module: ModuleType, words: str
) -> None:
    monkeypatch.setattr(module, "gettext", lambda message: message)
    monkeypatch.setattr(module, "ngettext", lambda one, many, number: many, raising=False)
    page = world.clinician.launches(world.ehr)

    assert any(words in said for said in bare(page.text))


def test_every_word_about_what_is_missing_comes_from_the_catalogue(world: World) -> None:
    world.ehr.fhir["ImagingStudy"] += [imaging_study(STUDY_B, patient="demo-b", study_id="b")]
    world.ehr.fhir["Endpoint"].clear()
    world.ehr.token_changes = {"scope": "launch openid fhirUser patient/ImagingStudy.rs patient/Endpoint.rs"}
    page = world.clinician.launches(world.ehr)

    assert page.status_code == 200
    assert bare(page.text) == []


@pytest.mark.parametrize("path", [f"viewer/{STUDY_A}", f"studies/{STUDY_A}/panel", "studies/none", f"viewer/{STUDY_B}"])
def test_every_word_beside_the_images_comes_from_the_catalogue(world: World, path: str) -> None:
    world.clinician.launches(world.ehr)

    assert bare(world.clinician.get(f"/s/{world.clinician.session}/{path}").text) == []


def test_every_word_of_the_end_comes_from_the_catalogue(world: World) -> None:
    world.clinician.launches(world.ehr)

    assert bare(world.clinician.post(f"/s/{world.clinician.session}/logout").text) == []


def test_what_scripts_are_told_of_a_session_comes_from_the_catalogue_too(world: World) -> None:
    """The viewer shows these words where its images stop."""
    world.clinician.launches(world.ehr)
    session = world.clinician.session
    foreign = world.clinician.post(f"/s/{session}/token", from_own_page=False)
    unknown = world.clinician.get("/s/none/state")
    world.clock.passes(seconds=301)
    world.ehr.token_error = ("temporarily", 503)
    away = world.clinician.post(f"/s/{session}/token")

    assert [answer.status_code for answer in (foreign, unknown, away)] == [403, 401, 503]
    for answer in (foreign, unknown, away):
        assert answer.json is not None
        assert answer.json["error_description"]
        assert bare(answer.json["error_description"]) == []


def test_the_looking_finds_words_outside() -> None:
    assert bare(f"<p>{OPEN}inside{SHUT} outside</p><b title='here too'></b>") == ["outside", "here too"]


def test_what_translators_get_is_what_the_pages_say() -> None:
    """When this fails: run ``make texts`` and commit what it writes."""
    assert collected.POT.read_text() == collected.as_pot()


def test_a_language_without_translation_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ValueError, match="no translation for tlh"):
        SmartAppSettings(public_base_url="http://localhost:8000", language="tlh")


def test_a_translation_is_spoken_and_escaped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Hostile(NullTranslations):
        def gettext(self, message: str) -> str:
            return "<b>%(ehr_title)s</b>" if "%(ehr_title)s" in message else "<i>said</i>"

    monkeypatch.setattr(texts, "catalogue", lambda language, directory: Hostile())
    with a_world(tmp_path, display_name="<script>alert(1)</script>") as world:
        page = world.clinician.get("/open/sandbox/2.25.1").text
        refused = world.clinician.get("/launch?iss=https://who.example&launch=x").text

    assert "<script>alert" not in page, "what an EHR is called is text, whatever a catalogue does"
    assert "<h1>&lt;i&gt;said" in refused
