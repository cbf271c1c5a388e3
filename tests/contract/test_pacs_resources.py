"""Which resources and methods the sandbox PACS knows (PS3.18 §10.4.3.1, PS3.5 §9.1, RFC 9110) over HTTP."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.pacs_actors import STUDY_A, STUDY_B, RunningPacs, a_running_pacs, write_demo


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPacs]:
    directory = tmp_path_factory.mktemp("pacs")
    write_demo(directory / "dicom")
    with a_running_pacs(directory / "data", directory / "dicom") as running:
        yield running


@pytest.mark.parametrize(
    "path",
    [
        "/studies/2.25.999",
        f"/studies/{STUDY_A}/series/{STUDY_B}.1",
        f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_B}.1.1",
        f"/studies/{STUDY_A}/series/{STUDY_B}.1/instances/{STUDY_B}.1.1/metadata",
        f"/studies/{STUDY_A}/series/{STUDY_A}.1/instances/{STUDY_B}.1.1/frames/1",
        "/studies/2.25.999/metadata",
        "/studies/2.25.999/rendered",
        "/nothing",
    ],
)
def test_10_4_3_1_unknown_or_misplaced_resource_is_404(pacs: RunningPacs, path: str) -> None:
    answer = pacs.get(path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    "uid", ["1.2%0A", "1.2%20", "1.2,1.3", "..", "%2e%2e", "..%2f..%2fetc", "1.2;x", "9" * 65, "%D9%A1", "1.2%00"]
)
def test_ps3_5_9_1_anything_but_a_uid_reaches_no_study(pacs: RunningPacs, uid: str) -> None:
    # The http.client of the standard library sends the path as it is written; requests would tidy it.
    address = urlsplit(pacs.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.request("GET", f"/dicom-web/studies/{uid}/metadata")
    status = connection.getresponse().status
    connection.close()

    assert status in (400, 404)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_rfc_9110_other_methods_are_405(pacs: RunningPacs, method: str) -> None:
    answer = pacs.session.request(method, f"{pacs.url}/studies/{STUDY_A}", timeout=20)

    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


def test_rfc_9110_head_and_options_on_a_study(pacs: RunningPacs) -> None:
    head = pacs.session.head(
        f"{pacs.url}/studies/{STUDY_A}",
        headers={"Accept": "multipart/related; type=application/dicom; transfer-syntax=*"},
        timeout=20,
    )
    options = pacs.session.options(f"{pacs.url}/studies/{STUDY_A}", timeout=20)

    assert (head.status_code, head.content) == (200, b"")
    assert int(head.headers["Content-Length"]) > 5 * 1000
    assert {"GET", "HEAD", "OPTIONS", "POST"} <= set(options.headers["Allow"].split(", "))
