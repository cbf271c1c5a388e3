"""Body sites that the imaging FHIR endpoint tells out of an index: codes of Annex L, or words as words (rules 7.3, M3)."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_imaging.archived_study import ArchivedStudy
from fhir_imaging.fhir_mapping.imaging_study import StudyContext, imaging_study
from fhir_imaging.uids import StudyInstanceUID
from imaging_findings.codes import SNOMED
from imaging_server.fhir_contents import with_series

STUDY = StudyInstanceUID("2.25.42")


def told(body_part: str | None, description: str | None = None) -> dict[str, Any]:
    """The one series of a study, as the endpoint tells it."""
    stated = {"00180015": body_part, "0008103E": description}
    series = {
        "0020000D": {"vr": "UI", "Value": [STUDY]},
        "0020000E": {"vr": "UI", "Value": [f"{STUDY}.1"]},
        "00080060": {"vr": "CS", "Value": ["CT"]},
        **{tag: {"vr": "LO", "Value": [words]} for tag, words in stated.items() if words},
    }
    study = with_series(ArchivedStudy(uid=STUDY, archives=("main",)), [("main", [series])])
    (made,) = imaging_study(study, StudyContext(subject="https://ehr.example/fhir/Patient/p"))["series"]
    found: dict[str, Any] = made
    return found


@pytest.mark.parametrize("words", ["CHEST", "Chest ", "thorax"])
def test_words_that_the_table_has_are_a_code(words: str) -> None:
    site = told(words, "Thin")["bodySite"]
    assert site["system"] == SNOMED
    assert {"code", "display"} < site.keys()
    assert told(words, "Thin")["description"] == "Thin"


@pytest.mark.parametrize("words", ["CHEST KNEE", "RM 4", "51185008"])
def test_other_words_are_no_coding_and_describe_a_series_without_description(words: str) -> None:
    assert "bodySite" not in told(words)
    assert told(words)["description"] == words
    assert told(words, "Thin")["description"] == "Thin"


def test_where_nothing_is_said_nothing_is_told() -> None:
    assert not {"bodySite", "description"} & told(None).keys()
