"""Converts each folder named on the command line with dicom2fhir; a line of JSON for each: seconds, and what it made."""

from __future__ import annotations

import asyncio
import json
import sys
import time

from dicom2fhir.dicom2fhir import from_directory

ZONE = {"timezone": "Europe/Berlin", "dicom_timezone": "Europe/Berlin"}


def main(folders: list[str]) -> None:
    """At series level, as it does by default."""
    for folder in folders:
        began, spent = time.perf_counter(), time.process_time()
        bundle = json.loads(asyncio.run(from_directory(folder, ZONE)).json())
        took, spent = time.perf_counter() - began, time.process_time() - spent
        study = next(one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == "ImagingStudy")
        found = {"seconds": took, "cpu_seconds": spent, "instances": study["numberOfInstances"]}
        print(json.dumps(found), flush=True)


main(sys.argv[1:])
