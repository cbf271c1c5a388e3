"""``imaging-cds check --imaging`` as an operator uses it: where tokens come from, whom they reach, what is printed."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask, Response, request

from fhir_imaging.settings import origin_of
from imaging_cds.check_gateway import check_server
from imaging_cds.check_gateway_probe import Probe, Question
from imaging_cds.check_gateway_subject import Subject, TokenKind
from imaging_cds.check_print import is_coloured, markdown_text, painted
from imaging_cds.cli import main
from tests.conftest import free_port_number, serving
from tests.faulty_archive import STUDY_A, STUDY_B
from tests.faulty_imaging import FaultyImaging
from tests.faulty_tokens import a_token


@pytest.fixture
def server(caplog: pytest.LogCaptureFixture) -> Iterator[FaultyImaging]:
    caplog.set_level("ERROR", "werkzeug")
    port = free_port_number()
    made = FaultyImaging(base_url=f"http://127.0.0.1:{port}")
    with serving(made.app(), port):
        yield made


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """Lent by the environment variable GOOD."""
    made = a_token()
    monkeypatch.setenv("GOOD", made)
    return made


def check(server: FaultyImaging, *more: str) -> int:
    return main(["check", "--imaging", server.imaging, "--frame-budget-ms", "5000", "--token", "env:GOOD", *more])


def test_a_right_server_is_exit_0_and_a_table(server: FaultyImaging, token: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = check(server, "--other-patient", "pat-b", "--other-study", STUDY_B)

    printed = capsys.readouterr().out
    assert exit_code == 0
    assert "W4           ok          Another patient's study is refused" in printed
    assert "F5           not tried   A search with an ended token is refused." in printed
    assert "--expired-token" in printed
    assert token not in printed


def test_a_fault_is_exit_1_with_its_remedy(server: FaultyImaging, token: str, capsys: pytest.CaptureFixture[str]) -> None:
    server.faults = frozenset({"M5"})

    exit_code = check(server)

    printed = capsys.readouterr().out
    assert exit_code == 1
    assert "M5           FAULT       BulkDataURI, RetrieveURL and Content-Location" in printed
    assert "answers name http://archive.internal:8042" in printed
    assert "-> Rewrite or drop every address" in printed


def test_json_has_every_row_and_the_patient_of_the_token(
    server: FaultyImaging, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = frozenset({"M14"})

    exit_code = check(server, "--json")

    told = json.loads(capsys.readouterr().out)
    by_check = {row["check"]: row for row in told["rows"]}
    assert exit_code == 1
    assert by_check["F1:patient"]["verdict"] == "ok"
    assert by_check["M14:strangers"]["verdict"] == "FAULT"
    assert by_check["M14:strangers"]["remedy"].startswith("List the viewers' origins")
    assert sum(told["verdicts"].values()) == len(told["rows"])


def test_markdown_names_what_to_mend_first_and_has_a_table_for_each_area(
    server: FaultyImaging, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = frozenset({"M5"})

    exit_code = check(server, "--markdown")

    printed = capsys.readouterr().out
    assert exit_code == 1
    assert printed.startswith(f"# Imaging server {server.imaging}\n")
    assert printed.index("## To mend") < printed.index("## The list of studies") < printed.index("## Images")
    assert "| M5:addresses |" in printed
    assert "| F11 | not visible |" in printed
    assert token not in printed


def test_a_terminal_shows_verdicts_in_colours_and_a_file_does_not(server: FaultyImaging, token: str) -> None:
    server.faults = frozenset({"M5"})
    probe = Probe([server.base_url], sleep=lambda _: None)
    report = check_server(Subject(base=server.imaging, tokens={TokenKind.GOOD: token}, patient="pat-a"), probe)
    probe.close()

    shown, kept = list(report.lines(painted)), list(report.lines())

    assert any("\x1b[1;31mFAULT      \x1b[0m" in line for line in shown)
    assert [re.sub("\x1b[^m]*m", "", line) for line in shown] == kept
    assert all(len(line) <= 120 for line in kept)
    assert "To mend: M5:addresses." in kept
    assert not is_coloured(io.StringIO(), {"TERM": "xterm"})


def test_markdown_of_a_server_that_writes_markup_has_none_of_it() -> None:
    assert markdown_text("<img src=x> [a](b) | `c`\n# d") == r"\<img src=x\> \[a\](b) \| \`c\` \# d"


def test_tokens_are_lent_by_file_and_by_standard_input(
    server: FaultyImaging, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = tmp_path / "ended"
    ended.write_text(f"{a_token(exp=1)}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{a_token()}\n"))

    exit_code = main(["check", "--imaging", server.imaging, "--token", "-", "--expired-token", f"file:{ended}"])

    printed = capsys.readouterr().out
    assert exit_code == 0
    assert "F5           ok          A search with an ended token is refused." in printed
    assert "WARNING" not in printed


def test_a_token_on_the_command_line_is_taken_with_a_warning(server: FaultyImaging, capsys: pytest.CaptureFixture[str]) -> None:
    token = a_token()

    exit_code = main(["check", "--imaging", server.imaging, "--token", token])

    printed = capsys.readouterr().out
    assert exit_code == 0
    assert "WARNING: --token is read from the command line, which others on this machine can see." in printed
    assert token not in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--imaging", "ftp://images.example"], "is no http(s) address"),
        (["--imaging", "http://images.example/fhir"], "plain http"),
        (["--imaging", "https://me:secret@images.example/fhir"], "must not carry a user name"),
        (["--imaging", "https://images.example", "--allow-origin", "http://pacs.example"], "plain http"),
        (["--imaging", "https://images.example", "--other-study", "1.2,3"], "is no DICOM UID"),
        (["--imaging", "https://images.example", "--token", "env:NO_SUCH_VARIABLE"], "the environment has no"),
        (["--imaging", "https://images.example", "--token", "file:no/such/file"], "cannot be read"),
        (["--imaging", "https://images.example", "--token", "-", "--second-token", "-"], "one token only"),
        (["--imaging", "https://images.example", "--ca", "no/such/file"], "cannot be read as PEM"),
        (["--imaging", "https://images.example", "--config", "site.toml"], "--config counts with --issuer only"),
        (["--issuer", "https://ehr.example/fhir", "--token", "env:GOOD"], "--token counts with --imaging only"),
        (["--issuer", "https://ehr.example/fhir", "--other-study", "1.2"], "--other-study counts with --imaging only"),
        (["--issuer", "https://ehr.example/fhir", "--backend-mode"], "--backend-mode counts with --imaging only"),
        (["--issuer", "https://ehr.example/fhir", "--allow-http"], "--allow-http counts with --imaging only"),
        (["--issuer", "https://ehr.example/fhir", "--allow-origin", "x"], "--allow-origin counts with --imaging only"),
        (["--issuer", "https://ehr.example/fhir", "--frame-budget-ms", "250"], "--frame-budget-ms counts with --imaging only"),
    ],
)
def test_wrong_options_are_exit_2_before_anything_is_sent(
    options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", *options]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--imaging", "--issuer", "--allow-origin"])
@pytest.mark.parametrize(
    "address",
    [
        "http://me:pass-word@host.example/fhir",
        "https://me:pass-word@host.example",
        "ftp://me:pass-word@host",
        "me:pass-word@host",
    ],
)
def test_a_password_in_an_address_is_refused_and_never_printed(
    option: str, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = ["--imaging", "https://images.example"] if option == "--allow-origin" else []

    assert main(["check", *before, option, address]) == 2

    printed = capsys.readouterr()
    assert "pass-word" not in printed.out + printed.err
    assert option in printed.err


def test_a_server_that_is_not_there_is_a_fault(token: str, capsys: pytest.CaptureFixture[str]) -> None:
    exit_code = main(["check", "--imaging", f"http://127.0.0.1:{free_port_number()}", "--token", "env:GOOD"])

    assert exit_code == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "it could not be reached" in printed
    assert ": 1 ok, " in printed


def test_the_token_reaches_no_origin_that_was_not_allowed(server: FaultyImaging, token: str) -> None:
    """C3: Endpoints and paging links lead elsewhere; nothing at all is sent there until --allow-origin names it."""
    asked: list[str] = []
    elsewhere = Flask("elsewhere", static_folder=None)

    @elsewhere.before_request
    def _record() -> Response:
        asked.append(request.headers.get("Authorization", ""))
        return Response(status=404)

    port = free_port_number()
    with serving(elsewhere, port) as origin:
        server.images_at = f"{origin}/dicom-web"
        assert check(server) == 0
        assert asked == []

        check(server, "--allow-origin", origin)
        assert asked


def test_redirects_are_not_followed_and_odd_addresses_are_sent_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("ERROR", "werkzeug")
    targets: list[str] = []
    app = Flask("recording", static_folder=None)

    @app.before_request
    def _redirect() -> Response:
        targets.append(str(request.environ["RAW_URI"]))
        return Response(status=302, headers={"Location": "http://127.0.0.1:9/"})

    port = free_port_number()
    with serving(app, port) as base:
        probe = Probe([base])
        odd = ["/a/../b", "/a/%2e%2e/b", "/a/..%2fb", "/a/..%5cb", "/a/..;/b?q=../c"]
        statuses = {probe.ask(Question(url=f"{base}{path}", token="t")).status for path in odd}
        probe.close()

    assert statuses == {302}
    assert [target.lower() for target in targets] == odd


def test_a_server_that_repeats_the_token_does_not_make_it_shown(
    server: FaultyImaging, token: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.images_at = f"http://{token}.example/dicom-web"

    check(server)

    printed = "".join(capsys.readouterr().out.split()).lower()
    assert token.lower() not in printed
    assert "(token).example" in printed


def test_nothing_is_written_but_harmless_attempts(server: FaultyImaging, token: str) -> None:
    """Group 16: every attempt to write names a study that no archive has, or sends nothing to store."""
    check(server, "--other-study", STUDY_B)

    assert set(server.writes) == {"POST", "PUT", "PATCH", "DELETE"}
    assert not any(STUDY_A in path or STUDY_B in path for path in server.written_paths)
    assert server.written_bytes <= len(b"--empty--\r\n")


def test_an_address_is_known_by_its_origin() -> None:
    probe = Probe(["https://images.example/fhir"])

    assert probe.may_ask("https://images.example:443/dicom-web")
    assert not probe.may_ask("https://images.example.evil.example/")
    assert not probe.may_ask("https://images.example@evil.example/")
    assert not probe.may_ask("https://user@images.example/")
    assert not probe.may_ask("http://images.example/")
    assert origin_of("https://images.example:443/") in probe.allowed_origins
