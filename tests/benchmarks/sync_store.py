"""The sandbox's FHIR store for the benchmarks of the synchronisation: ``python -m tests.benchmarks.sync_store HOME PORT``."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from werkzeug.serving import make_server

from ehr_sandbox.ehr import create_ehr
from ehr_sandbox.fhir_store import FhirStore
from ehr_sandbox.settings import demo_settings
from tests.benchmarks.sync_worlds import patients


def main(home: Path, port: int) -> None:
    """Serves until it is ended."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    settings = demo_settings(base_url=f"http://127.0.0.1:{port}", app_url="http://127.0.0.1:1", state_dir=home, open_fhir=True)
    app = create_ehr(settings)
    records = FhirStore(home / "fhir.sqlite3", settings.fhir_base)
    for one in patients():
        records.put(one)
    make_server("127.0.0.1", port, app, threaded=True).serve_forever()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
