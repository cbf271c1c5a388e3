"""``make scans``: looks for credentials in everything that is or would be committed, but those that are known to be none.

    python -m tests.secret_scan            1 where something was found that is not in .secrets.baseline
    python -m tests.secret_scan --accept   writes the baseline anew, after a person has looked at each

The baseline is detect-secrets' own: digests, and no line numbers, so that it changes only where something new is accepted.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

from detect_secrets.core import baseline
from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.filters.allowlist import is_line_allowlisted
from detect_secrets.settings import default_settings
from detect_secrets.util.code_snippet import CodeSnippet

CHECKOUT = Path(__file__).parent.parent
BASELINE = CHECKOUT / ".secrets.baseline"
PASSED_OVER = re.compile(
    r"(?:requirements|docs/pictures|tests/data)/|\.secrets\.baseline\Z|.*package-lock\.json\Z|.*\.(?:png|dcm|csv|po|pot)\Z"
)
"""Hashes of packages, pictures, tables of codes, translations."""
_NO_SECRET = r"\A(?:/(?:run|etc|var)/|\.\./|%h/|\(set, hidden\)|IMAGING_CDS_|PASSWORD\Z)"
"""The place of a secret's file, the name of a variable and a word that stands for a password are none."""
_WORD = re.compile(r"\w")
SYNTHETIC = ("KeywordDetector", "BasicAuthDetector")
"""Not asked about tests, which are full of passwords of synthetic servers (ruff's S105 and S106 are off there too). Keys and
tokens are found there all the same."""


_SLOW_FILTERS = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_indirect_reference",
)
"""Half the time of a scan. The first is asked below, where it can matter; without the second ``secret = read("…")`` is looked
at like any other line."""


def cannot_tell(filename: str, line: str, context: CodeSnippet) -> bool:
    """Whether nothing in this line is to be looked at: no letter and no digit stands in it, or a person has said so."""
    if not _WORD.search(line):
        return True
    said = "pragma" in line or "pragma" in context.previous_line
    return said and is_line_allowlisted(filename, line, context)


def committed_files() -> list[str]:
    """Those that git knows, and those that it would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(one for one in set(listed) if not PASSED_OVER.match(one) and (CHECKOUT / one).is_file())


def scan(root: Path, names: Sequence[str]) -> SecretsCollection:
    """What looks like a secret in these files below ``root``. Nothing is asked of anybody's server."""
    found = SecretsCollection()
    tests = [one for one in names if one.startswith("tests/")]
    others = [one for one in names if not one.startswith("tests/")]
    with chdir(root):
        for some, left_out in ((others, ()), (tests, SYNTHETIC)):
            with default_settings() as settings:
                settings.filters["detect_secrets.filters.regex.should_exclude_secret"] = {"pattern": [_NO_SECRET]}
                settings.filters["tests.secret_scan.cannot_tell"] = {}
                settings.disable_filters(*_SLOW_FILTERS)
                settings.disable_plugins(*left_out)
                found.scan_files(*some)
    return found


def written(found: SecretsCollection) -> str:
    """The baseline of this."""
    with default_settings():
        told = baseline.format_for_output(found, is_slim_mode=True)
    return json.dumps(told, indent=1) + "\n"


def unknown(found: SecretsCollection, known: SecretsCollection) -> list[str]:
    """What is not in the baseline, without the secret itself."""
    return sorted(f"{name}:{one.line_number}: {one.type}" for name, one in found - known)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when there is nothing new."""
    parser = argparse.ArgumentParser(prog="python -m tests.secret_scan")
    parser.add_argument("--accept", action="store_true", help="write .secrets.baseline anew")
    given = parser.parse_args(arguments)
    found = scan(CHECKOUT, committed_files())
    if given.accept:
        BASELINE.write_text(written(found))
        return 0
    news = unknown(found, baseline.load(json.loads(BASELINE.read_text())))
    for line in news:
        print(line, file=sys.stderr)
    if news:
        print(
            "These look like credentials: take them out, and have them withdrawn where they were pushed; where one is none, "
            "write `# pragma: allowlist secret` in its line, or run: .venv/bin/python -m tests.secret_scan --accept",
            file=sys.stderr,
        )
    return 1 if news else 0


if __name__ == "__main__":
    sys.exit(main())
