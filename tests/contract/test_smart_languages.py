"""Every word of the pages for people goes through the catalogue of a language (smart-launch.md §8)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from gettext import NullTranslations
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fhir_imaging import texts, web
from smart_app.settings import SmartAppSettings
from tests import texts as collected
from tests.contract.smart_actors import STUDY_A, STUDY_B, World, a_world, imaging_study

OPEN, SHUT = "⟦", "⟧"
# What the record, the EHR or a table of codes says, and what has no language.
DATA = re.compile(
    r"SYNTHETIC|Alma|DEMO-\d+|CT\b|MR\b|chest|Chest|Part-solid nodule of 8 mm in the right upper lobe\.|UTC|Test EHR|"
    r"https?:\S+|"
    r"Esc\b|Enter|F6|iss\b|aud\b|reference|time|reason|fault|error|said|public|imaging-cds|launch\S*|openid|fhirUser|online_access|"
    r"patient/\S+|unknown-ehr|2\.25\.\d+|[0-9a-f]{16}|demo-a|–|[IVX]{1,3}\b|MRI|PET|XR|US|MG|NM|XA|BD"
)
ATTRIBUTES = ("aria-label", "title", "placeholder", "alt")


class Pseudo(NullTranslations):
    """A language that says the same between brackets."""

    def gettext(self, message: str) -> str:
        return f"{OPEN}{message}{SHUT}"

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


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(texts, "catalogue", lambda language, directory: Pseudo())
    with a_world(tmp_path) as made:
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
    assert bare(page.text) == []


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
