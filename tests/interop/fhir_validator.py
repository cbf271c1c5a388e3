"""HAPI's FHIR instance validator with HL7's own definitions, offline: what it says of resources that we write."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.fhir_versions import FhirVersion
from tests.interop.hapi_build import HINT, class_path, is_built

TIMEOUT_S = 500.0
"""Under a minute of one processor; a busy machine takes several times that."""
_JAVA = ("-Xmx1500m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.timezone=UTC")
_OFFLINE = ("-Dhttp.proxyHost=127.0.0.1", "-Dhttp.proxyPort=9", "-Dhttps.proxyHost=127.0.0.1", "-Dhttps.proxyPort=9")
"""It asks no network; whatever a later version might ask meets a closed door instead of somebody's terminology server."""
ERRORS = frozenset({"error", "fatal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing that the validator says. ``at`` is a FHIRPath, ``rule`` the validator's own name of what it checked."""

    severity: str
    at: str
    rule: str
    text: str

    @property
    def is_error(self) -> bool:
        return self.severity in ERRORS

    def __str__(self) -> str:
        return f"{self.severity} {self.at} [{self.rule}]: {self.text}"


def needed() -> None:
    """Skips the test where the validator is not built."""
    if shutil.which("java") is None or not is_built():
        pytest.skip(HINT)


def validated(asked: Iterable[tuple[FhirVersion, Mapping[str, Any]]], home: Path) -> list[tuple[Issue, ...]]:
    """What it says of each, in their order, by one process for all; its log stays below ``home``.

    AssertionError where it does not answer all, ``subprocess.TimeoutExpired`` where it takes too long.
    """
    needed()
    lines = [json.dumps({"version": version, "resource": json.dumps(resource)}) for version, resource in asked]
    log = home / "fhir-validator.log"
    with log.open("wb") as words:
        ended = subprocess.run(
            ["java", *_JAVA, *_OFFLINE, "-cp", class_path(), "FhirValidator"],
            input="\n".join(lines).encode(),
            stdout=subprocess.PIPE,
            stderr=words,
            cwd=home,
            timeout=TIMEOUT_S,
            check=False,
        )
    answers = [json.loads(line) for line in ended.stdout.decode().splitlines()]
    assert (ended.returncode, len(answers)) == (0, len(lines)), log.read_text()[-4000:]
    return [tuple(_issue(one) for one in answer["issues"]) for answer in answers]


def _issue(stated: Mapping[str, Any]) -> Issue:
    return Issue(severity=stated["severity"], at=stated["at"] or "", rule=stated["rule"] or "", text=stated["text"])
