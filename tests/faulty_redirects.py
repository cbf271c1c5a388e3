"""A deliberately faulty imaging server that sends on whom it should refuse: to a sign-in page, to open images, elsewhere."""

from __future__ import annotations

import json
from collections.abc import Set

from flask import Response

from tests.faulty_archive import STUDIES, STUDY_A, STUDY_B, dataset
from tests.faulty_tokens import Refusal

ELSEWHERE = "https://sign-in.example/authorize"
_PLACES = {"sign-in": "/sign-in", "open-door": "/open/mine", "elsewhere": ELSEWHERE}


def sent_on(faults: Set[str], refusal: Refusal, path: str) -> Response | None:
    """The redirect in place of a refusal, where a fault makes one."""
    side = "F5" if path.startswith("/imaging/fhir") else "W3"
    is_read = path.startswith("/imaging/fhir/ImagingStudy/")
    is_nobody = not is_read and refusal.status == 401 and refusal.error is None
    for way, place in _PLACES.items():
        if is_nobody and f"{side}:{way}" in faults:
            return Response(status=302, headers={"Location": place})
    if "M1:redirect" in faults and ".." in path and STUDY_B in path:
        return Response(status=307, headers={"Location": "/open/others"})
    return None


def beyond(path: str) -> Response | None:
    """What is where a redirect leads: for everybody, with or without a token."""
    if path == "/sign-in":
        return Response("<h1>Who are you?</h1>", mimetype="text/html")
    shown = {"/open/mine": STUDY_A, "/open/others": STUDY_B}.get(path)
    if shown is None:
        return None
    study = STUDIES[shown]
    described = [dataset(study, uid, "/dicom-web", "/dicom-web") for uid in study.instances]
    return Response(json.dumps(described), mimetype="application/dicom+json")
