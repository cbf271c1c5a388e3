"""Wrong arguments are answered at once, with the argument and the remedy, before anything is made or started."""

from __future__ import annotations

from pathlib import Path

import pytest

from imaging_cds.cli import main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--workers", "0"], "--workers: 0 worker processes serve nobody"),
        (["--workers", "-1"], "--workers: -1 worker processes serve nobody"),
        (["--port", "99999"], "port 99999 is not between 1 and 65535"),
        (["--port", "8001"], "must differ"),
    ],
)
def test_a_demo_that_cannot_run_is_refused_before_its_data_are_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    directory = tmp_path / "demo"

    code = main(["demo", "--directory", str(directory), *arguments])

    assert code == 2
    assert told in capsys.readouterr().err
    assert not directory.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["demo", "--trust-issuer", "launcher"], "'launcher'"),
        (["demo", "--trust-issuer", "launcher=my-client"], "'launcher'"),
        (["token", "--lifetime", "soon"], "say how many seconds"),
        (["token", "--lifetime", "0"], "say how many seconds"),
    ],
)
def test_an_argument_that_cannot_be_read_is_quoted_with_its_remedy(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)

    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
