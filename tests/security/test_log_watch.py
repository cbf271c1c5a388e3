"""The watch over all log lines of a test run sees what is planted, in this process and in the files of others (group 34)."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import LOG_WATCH
from tests.log_watch import LogWatch, is_secret, leaks_in, leaks_in_files
from tests.security.gateway_stubs import StubEhr

pytest_plugins = ["pytester"]
PLANTED_AT = re.compile(r"/test_(?:a_planted_leak|log_files_of_other)")
PLANTED = logging.getLogger("imaging_cds.planted")


@pytest.fixture(autouse=True)
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is planted here must not be found by the watch over this run itself."""
    yield
    for name in ("log", "server.log"):
        for path in tmp_path_factory.getbasetemp().glob(f"test_*/**/{name}"):
            if PLANTED_AT.search(str(path)):
                path.unlink()


@pytest.fixture
def watch() -> LogWatch:
    return LogWatch()


def written(watch: LogWatch, message: str, *values: object, **more: object) -> list[str]:
    record = PLANTED.makeRecord(PLANTED.name, logging.INFO, __file__, 1, message, values, None, extra=dict(more))
    watch.emit(record)
    return watch.take()


def test_a_jwt_a_known_token_and_a_patients_name_are_leaks(watch: LogWatch) -> None:
    opaque = is_secret(f"opaque.{secrets.token_urlsafe(24)}")

    assert written(watch, "with %s", StubEhr("north").token())
    assert written(watch, "with %s", f"Bearer {opaque}!")
    assert written(watch, "with %s", "SYNTHETIC^Alma")
    assert written(watch, "with", fields={"query": f"token={opaque}"})
    assert written(watch, "a study of somebody was opened in 3 ms") == []
    assert watch.lines == 5


@pytest.mark.parametrize(
    "line",
    [
        *("Bearer%20{opaque}", "token%3D{opaque}", "token_{opaque}", "x{opaque}y", "a=%2526token%253D{opaque}"),
        *("Bearer%20{jwt}", "token%3D{jwt}", "token_{jwt}", "token%253D{jwt}"),
        *("patient%3DAlma", "patient%253DAlma", "name_Alma", "SYNTHETIC%5EAlma", "Alma_2", "patientAlma", "%41lma"),
    ],
)
def test_what_stands_around_it_or_how_it_is_encoded_hides_nothing(line: str) -> None:
    opaque = is_secret(secrets.token_urlsafe(24))

    assert leaks_in(line.format(opaque=opaque, jwt=StubEhr("north").token()))


def test_words_that_only_begin_like_a_secret_or_a_name_are_none() -> None:
    is_secret("opaque-token-of-nobody")

    assert leaks_in("an opaque-token-of-others, Almanac 2026, keyJournal2026entries") == []


def test_what_is_reported_is_not_the_token_itself() -> None:
    token = StubEhr("north").token()

    assert all(token[:20] not in one for one in leaks_in(f"with {token}"))


def test_log_files_of_other_processes_are_looked_through_and_those_of_other_programs_are_not(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "server.log").write_text("all is well\nwith eyJhbGciOiJSUzI1NiJ9\n")
    (tmp_path / "log").write_text("Clara was here\n")
    (tmp_path / "orthanc.log").write_text("Clara was here\n")
    (tmp_path / "clara.json").write_text("Clara was here\n")

    assert leaks_in_files(tmp_path) == ["log, line 1: Clara", "one/server.log, line 2: eyJhbG… (20 characters)"]


def test_this_run_is_watched() -> None:
    before = LOG_WATCH.lines
    logging.getLogger("imaging_cds.request").info("a line at the level that production uses")

    assert LOG_WATCH.lines == before + 1


def test_a_planted_leak_fails_the_test_that_wrote_it_and_no_other(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile(
        """
        import logging

        def test_leak():
            logging.getLogger("imaging_cds.request").info("opened for %s", "SYNTHETIC^Alma")

        def test_clean():
            logging.getLogger("imaging_cds.request").info("opened")
        """
    )

    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")

    outcome.assert_outcomes(failed=1, passed=1)
    outcome.stdout.fnmatch_lines(["*test_leak*", "*must stand in no log*"])


def test_a_planted_leak_in_the_log_of_a_process_fails_the_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import *")
    pytester.makepyfile("def test_served(tmp_path):\n    (tmp_path / 'server.log').write_text('for Bruno')\n")

    outcome = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist")

    outcome.assert_outcomes(passed=1, errors=1)
    outcome.stdout.fnmatch_lines(["*server.log, line 1: Bruno*"])
