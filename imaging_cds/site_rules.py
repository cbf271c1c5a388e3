"""The site's own rules, read once when the application starts; a file with a fault stops the start."""

from __future__ import annotations

from pathlib import Path

from fhir_imaging.errors import ConfigurationError
from imaging_findings.packs import bundled_packs
from imaging_findings.rule_settings import RuleSettings
from imaging_findings.rules import Packs
from imaging_findings.site_packs import parse_site_packs
from imaging_findings.site_policy import SitePolicy
from imaging_findings.study_table import SiteStudies, SiteTableError, read_site_studies
from imaging_findings.toml_tables import PackError


def site_policy(settings: RuleSettings) -> SitePolicy:
    """The packs, codes and windows in force. ConfigurationError lists every fault of both files, each with file and line."""
    problems: list[str] = []
    packs = bundled_packs() if settings.packs is None else _packs(settings.packs, problems)
    studies = {} if settings.study_codes is None else _studies(settings.study_codes, problems)
    if problems:
        raise ConfigurationError(problems)
    return SitePolicy(
        packs=packs,
        orders=settings.orders,
        studies=studies,
        release=settings.release,
        unread=settings.unread,
        bookings=settings.bookings,
        referral_warning_days=settings.referral_warning_days,
        rules_owner=settings.clinical_owner.strip(),
    )


def _packs(path: Path, problems: list[str]) -> Packs:
    try:
        return parse_site_packs(_read(path, problems), str(path))
    except PackError as exc:
        problems += exc.problems
        return bundled_packs()


def _studies(path: Path, problems: list[str]) -> SiteStudies:
    before = len(problems)
    content = _read(path, problems)
    try:
        return read_site_studies(content, str(path)) if len(problems) == before else {}
    except SiteTableError as exc:
        problems += exc.problems
        return {}


def _read(path: Path, problems: list[str]) -> str:
    """The file's text; empty, with a problem noted, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as exc:
        problems.append(f"{path} cannot be read: {exc.strerror}.")
    except UnicodeDecodeError as exc:
        line = exc.object.count(b"\n", 0, exc.start) + 1
        problems.append(f"{path}, line {line}: is not UTF-8.")
    return ""
