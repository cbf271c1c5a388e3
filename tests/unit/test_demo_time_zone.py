"""The zone of the sandbox EHR's practice, from the demo's command line to the chart's settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ehr_sandbox.settings import zone_of
from imaging_cds.cli import main
from imaging_cds.demo import process_specs
from imaging_cds.demo_plan import DemoOptions
from imaging_cds.sandbox_servers import ehr_settings

OPTIONS = DemoOptions(directory=Path("d"), viewer_dir=Path("v"))


@pytest.mark.parametrize("name", ["UTC", "Asia/Ho_Chi_Minh"])
def test_the_demos_zone_reaches_the_ehr_that_it_starts(name: str) -> None:
    options = replace(OPTIONS, time_zone=name)

    commands = [spec.command for spec in process_specs(options)]

    (ehr,) = [command for command in commands if "sandbox-ehr" in command]
    assert ehr[ehr.index("--time-zone") + 1] == name
    assert str(ehr_settings(options).zone) == name


@pytest.mark.parametrize("command", ["demo", "sandbox-ehr"])
@pytest.mark.parametrize("name", ["Saigon", "", "../UTC", "/etc/passwd", "x" * 300])
def test_a_zone_that_nobody_knows_is_refused_before_anything_starts(
    command: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--time-zone", name])

    assert ended.value.code == 2
    assert "is no IANA time zone known here" in capsys.readouterr().err


def test_utc_needs_no_table_of_zones() -> None:
    assert str(zone_of("UTC")) == "UTC"
