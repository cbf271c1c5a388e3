"""A deliberately faulty imaging server that writes the caller's token into what it answers."""

from __future__ import annotations

import json
from collections.abc import Set
from typing import Any
from urllib.parse import quote

from flask import Response


def repeating(faults: Set[str], answer: Response, token: str | None) -> Response:
    """The answer with the token where a fault puts it."""
    echoes = {fault.removeprefix("F12:token-in-") for fault in faults if fault.startswith("F12:token-in-")}
    if token is None or not echoes:
        return answer
    said: Any = json.loads(answer.get_data()) if answer.mimetype.endswith("json") else None
    if "header" in echoes and answer.mimetype == "multipart/related":
        answer.headers["Content-Location"] = f"/dicom-web/{token.lower()}"
    if "self-link" in echoes and isinstance(said, dict) and "link" in said:
        said["link"][0]["url"] += f"?access_token={token}"
    if "address" in echoes and isinstance(said, dict):
        for endpoint in _endpoints(said):
            endpoint["address"] += f"?cap={token}"
    if "bulk" in echoes and isinstance(said, list):
        for dataset in said:
            dataset["00081190"]["Value"][0] += f"?signed={token.rpartition('.')[2]}"
    if "error" in echoes and isinstance(said, dict) and "issue" in said:
        said["issue"][0]["diagnostics"] = "not allowed: " + "".join(f"%{ord(mark):02x}" for mark in quote(token))
    if said is not None:
        answer.set_data(json.dumps(said))
    return answer


def _endpoints(bundle: dict[str, Any]) -> list[dict[str, Any]]:
    resources = [one["resource"] for one in bundle.get("entry", [])]
    return [one for one in resources if one["resourceType"] == "Endpoint"]
