"""How far whoever fills this EHR has come. As long as that is told, the chart asks people to wait; FHIR answers all the time.

It is told through a file beside the records, since whoever fills them is another process.
"""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

STALE_S = 120.0
"""Whoever says nothing for so long is not at work any more: what is there can be looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arriving:
    """What is being done, and how much of it is done; `total` is 0 where nobody knows that yet."""

    step: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What is told of one EHR, by the directory of its state."""

    state_dir: Path
    clock: Callable[[], float] = time.time

    def tell(self, arriving: Arriving) -> None:
        """From now on this is what is being done."""
        self.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self._path.with_suffix(".part")
        draft.write_text(json.dumps(asdict(arriving)), encoding="utf-8")
        os.replace(draft, self._path)

    def over(self) -> None:
        """All is there, or nobody waits for it any more."""
        self._path.unlink(missing_ok=True)

    def now(self) -> Arriving | None:
        """What is being done; None when nothing is."""
        try:
            is_stale = self.clock() - self._path.stat().st_mtime > STALE_S
            return None if is_stale else Arriving(**json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def _path(self) -> Path:
        return self.state_dir / "arriving.json"
