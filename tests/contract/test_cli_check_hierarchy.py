"""``imaging-cds check`` tries whether an archive keeps its hierarchy, where a site says so (group 10)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import tomli_w
from flask import Response

from imaging_cds.cli import main
from tests.conftest import free_port_number, serving
from tests.security.gateway_stubs import PACS_PASSWORD, STUDY_A, STUDY_B, Asked, StubEhr, StubPacs, instance_of, series_of

AREA = "Archives: nginx in front"
OWN = tuple(f"/studies/{one}/series/{series_of(one)}/instances/{instance_of(one)}/frames/1" for one in (STUDY_A, STUDY_B))
STUDIES = (STUDY_A, STUDY_B)
SERIES = tuple(map(series_of, STUDIES))
INSTANCES = tuple(map(instance_of, STUDIES))
Findings = Callable[[bool], list[dict[str, str]]]


@pytest.fixture
def pacs() -> Iterator[StubPacs]:
    archive = StubPacs()
    with serving(archive.app(), free_port_number()) as archive.base:
        archive.persons |= {STUDY_A: ("MRN-A", "NORTH"), STUDY_B: ("MRN-B", "NORTH")}
        yield archive


@pytest.fixture
def findings(tmp_path: Path, pacs: StubPacs, capsys: pytest.CaptureFixture[str]) -> Iterator[Findings]:
    with ExitStack() as stack:
        ehr = StubEhr("north")
        ehr.base = stack.enter_context(serving(ehr.app(), free_port_number()))

        def told(keeps_hierarchy: bool) -> list[dict[str, str]]:
            login = {"user": "gateway", "password": PACS_PASSWORD}
            archive = {"name": "main", "dicomweb_root": pacs.root, **login, "keeps_hierarchy": keeps_hierarchy}
            table = {
                "public_base_url": "http://localhost:8000",
                "components": ["imaging_server"],
                "state": {"state_dir": str(tmp_path / "state")},
                "ehr": [{"name": "north", "fhir_base": ehr.fhir_base}],
                "pacs": [archive],
            }
            path = tmp_path / "site.toml"
            path.write_text(tomli_w.dumps(table))
            main(["check", "--issuer", ehr.fhir_base, "--config", str(path), "--json"])
            out = capsys.readouterr().out
            assert PACS_PASSWORD not in out
            assert STUDY_A not in out
            return [one for one in json.loads(out)["findings"] if one["area"] == AREA]

        yield told


def only_its_own(asked: Asked) -> Response | None:
    return Response("", 404) if "/frames/" in asked.path and not asked.path.endswith(OWN) else None


def test_archive_that_finds_nothing_elsewhere_keeps_its_hierarchy(findings: Findings, pacs: StubPacs) -> None:
    pacs.answer = only_its_own

    (told,) = findings(True)

    assert told["verdict"] == "ok"
    assert sum("/frames/" in one.path for one in pacs.asked) == 7


def looks_each_up_by_itself(asked: Asked) -> Response | None:
    """Everything that is named exists, whosever it is."""
    named = asked.path.partition("/studies/")[2]
    study, _, series, _, instance, *_ = [*named.split("/"), *[""] * 5]
    known = all(uid in of for uid, of in ((study, STUDIES), (series, SERIES), (instance, INSTANCES)))
    return None if "/frames/" not in asked.path or known else Response("", 404)


def looks_at_the_series_only(asked: Asked) -> Response | None:
    fits = any(f"/series/{series_of(one)}/instances/{instance_of(one)}/" in asked.path for one in STUDIES)
    return None if "/frames/" not in asked.path or fits else Response("", 404)


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (looks_each_up_by_itself, "study and series"),
        (looks_at_the_series_only, "study"),
        (lambda asked: None, "study and series"),
    ],
    ids=["each-by-itself", "series-only", "study-only"],
)
def test_archive_that_serves_an_image_elsewhere_is_a_fault(
    findings: Findings, pacs: StubPacs, answer: Callable[[Asked], Response | None], level: str
) -> None:
    pacs.answer = answer

    (told,) = findings(True)

    assert (told["verdict"], told["what"].partition("below another ")[2]) == ("fault", f"{level}.")
    assert "keeps_hierarchy = false" in told["remedy"]


def test_archive_of_one_study_has_nothing_to_be_tried_with(findings: Findings, pacs: StubPacs) -> None:
    del pacs.persons[STUDY_B]
    pacs.answer = only_its_own

    (told,) = findings(True)

    assert (told["verdict"], "one study only" in told["what"]) == ("warning", True)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda asked: Response("", 503), "not ready"),
        (lambda asked: Response("[]", content_type="application/dicom+json"), "lists no image"),
        (lambda asked: Response("", 406) if "/frames/" in asked.path else None, "has a frame"),
    ],
    ids=["busy", "empty", "no-frame"],
)
def test_archive_that_cannot_be_tried_is_said_to_be_untried(
    findings: Findings, pacs: StubPacs, answer: Callable[[Asked], Response | None], why: str
) -> None:
    pacs.answer = answer

    (told,) = findings(True)

    assert (told["verdict"], why in told["what"]) == ("warning", True)


def test_archive_of_which_nothing_is_said_is_left_alone(findings: Findings, pacs: StubPacs) -> None:
    assert findings(False) == []
    assert pacs.asked == []
