"""The client of DICOMweb archives: what it takes for an answer, and what it never takes for an empty one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Response

from fhir_imaging.clients.archive_session import ArchiveSession
from fhir_imaging.clients.dicomweb import DicomwebClient
from fhir_imaging.errors import UpstreamError, UpstreamRefused, UpstreamTimeout
from fhir_imaging.settings import PacsSettings
from fhir_imaging.uids import SeriesInstanceUID, SopInstanceUID, StudyInstanceUID
from tests.archive_actors import HeldArchive, HeldStudy, a_client, served
from tests.conftest import free_port_number
from tests.contract.tls_actors import TestAuthority, serving_tls
from tests.log_watch import is_secret

STUDY, SERIES = StudyInstanceUID("2.25.1"), SeriesInstanceUID("2.25.1.1")


def an_archive(count: int = 1, **habits: object) -> HeldArchive:
    return HeldArchive([HeldStudy(f"2.25.{number}") for number in range(1, count + 1)], **habits)  # type: ignore[arg-type]


def uids(datasets: tuple[Mapping[str, dict[str, list[str]]], ...], tag: str = "0020000D") -> list[str]:
    return [one[tag]["Value"][0] for one in datasets]


def test_searches_at_each_level_are_paged() -> None:
    archive = an_archive(5)
    with a_client(archive) as client:
        page = client.studies([("StudyDate", "20260310")], limit=2, offset=2)
        series = client.series(STUDY)
        instances = client.instances(STUDY, SERIES, limit=1)

    assert uids(page.datasets) == ["2.25.3", "2.25.4"]
    assert series is not None
    assert uids(series.datasets, "0020000E") == [SERIES]
    assert instances is not None
    assert uids(instances.datasets, "00080018") == [f"{SERIES}.1"]
    assert archive.asked[0] == "studies?StudyDate=20260310&limit=2&offset=2"


def test_metadata_of_study_series_and_instance() -> None:
    with a_client(an_archive()) as client:
        assert len(client.metadata(STUDY) or ()) == 2
        assert len(client.metadata(STUDY, SERIES) or ()) == 2
        assert uids(client.metadata(STUDY, SERIES, SopInstanceUID(f"{SERIES}.2")) or (), "00080018") == [f"{SERIES}.2"]
        assert client.metadata(StudyInstanceUID("2.25.9")) is None
        assert client.series(StudyInstanceUID("2.25.9")) is None


def test_no_match_is_204_and_empty() -> None:
    with a_client(HeldArchive()) as client:
        found = client.studies()

    assert found.datasets == ()
    assert not found.more


@pytest.mark.parametrize(
    ("status", "warning", "more"),
    [
        (200, None, False),
        (206, None, True),
        (200, '299 here "There are 5 additional results that can be requested."', True),
        (200, '299 here "The fuzzymatching parameter is not supported. Only literal matching has been performed."', False),
    ],
)
def test_whether_there_is_more_is_carried(status: int, warning: str | None, more: bool) -> None:
    headers = {} if warning is None else {"Warning": warning}
    archive = an_archive(instead=lambda path: Response("[{}]", status, headers, content_type="application/dicom+json"))
    with a_client(archive) as client:
        assert client.studies().more is more


@pytest.mark.parametrize("body", ["", "{}", "null", "[1]", "<html>Sign in</html>", '[{"0020000D":', '"[]"'])
def test_answer_that_is_no_list_of_data_sets_is_an_error(body: str) -> None:
    """A sign-in page must not look like an archive that lost all its studies."""
    with a_client(an_archive(instead=lambda path: Response(body, content_type="application/dicom+json"))) as client:
        for ask in (client.studies, lambda: client.series(STUDY), lambda: client.metadata(STUDY)):
            with pytest.raises(UpstreamError) as failure:
                ask()
            assert not failure.value.retryable


def test_numbers_that_json_does_not_know_hide_nothing_else() -> None:
    body = '[{"00180050": {"vr": "DS", "Value": [NaN, 1e999, 2.5]}}]'
    with a_client(an_archive(instead=lambda path: Response(body, content_type="application/json"))) as client:
        assert client.studies().datasets[0]["00180050"]["Value"] == [None, None, 2.5]


@pytest.mark.parametrize("status", [404, 410])
def test_missing_study_is_none_and_missing_service_an_error(status: int) -> None:
    """A root that was moved would otherwise withdraw every study."""
    with a_client(an_archive(instead=lambda path: Response("not here", status))) as client:
        assert client.series(STUDY) is None
        assert client.metadata(STUDY) is None
        with pytest.raises(UpstreamRefused) as failure:
            client.studies()
        assert not failure.value.retryable


@pytest.mark.parametrize("status", [202, 408, 429, 500, 502, 503, 504])
def test_what_passes_is_retryable(status: int) -> None:
    archive = an_archive(instead=lambda path: Response("later", status, {"Retry-After": "7"}))
    with a_client(archive) as client, pytest.raises(UpstreamError) as failure:
        client.studies()

    assert (failure.value.status, failure.value.retryable, failure.value.retry_after_s) == (status, True, 7)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 405, 406, 413, 501])
def test_what_stays_is_not_retryable(status: int) -> None:
    answer = {"Location": "https://elsewhere.example/"}
    archive = an_archive(instead=lambda path: Response("no", status, answer))
    with a_client(archive) as client, pytest.raises(UpstreamError) as failure:
        client.studies()

    assert (failure.value.status, failure.value.retryable) == (status, False)


def test_short_trouble_is_over_with_the_second_attempt() -> None:
    answers = [Response("", 503), None]
    archive = an_archive(instead=lambda path: answers.pop(0))
    with a_client(archive) as client:
        assert len(client.studies().datasets) == 1
    assert len(archive.asked) == 2


def test_large_answer_is_not_held_in_memory() -> None:
    with a_client(an_archive(400), max_body_bytes=50_000) as client:
        assert len(client.studies(limit=50).datasets) == 50
        with pytest.raises(UpstreamError, match="too large"):
            client.studies()


def test_silence_is_a_retryable_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        root = f"http://127.0.0.1:{silent.getsockname()[1]}/dicom-web"
        settings = PacsSettings(name="silent", dicomweb_root=root, read_timeout_s=0.2)
        client = DicomwebClient(root, ArchiveSession(settings))
        with pytest.raises(UpstreamTimeout) as failure:
            client.studies()
        client.close()
    assert failure.value.retryable


def test_answer_that_drips_for_too_long_is_a_retryable_timeout() -> None:
    def dripping() -> Iterator[bytes]:
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    archive = an_archive(instead=lambda path: Response(dripping(), content_type="application/dicom+json"))
    with served(archive) as settings:
        client = DicomwebClient(settings.dicomweb_root, ArchiveSession(replace(settings, read_timeout_s=0.1)))
        began = time.monotonic()
        with pytest.raises(UpstreamTimeout) as failure:
            client.studies()
        client.close()
    assert failure.value.retryable
    assert time.monotonic() - began < 4


def test_nobody_there_is_retryable() -> None:
    root = f"http://127.0.0.1:{free_port_number()}/dicom-web"
    client = DicomwebClient(root, ArchiveSession(PacsSettings(name="absent", dicomweb_root=root)))
    with pytest.raises(UpstreamError) as failure:
        client.studies()
    client.close()
    assert failure.value.retryable


@pytest.mark.parametrize("cut", ["at-once", "in-the-body"])
def test_connection_that_breaks_is_tried_again_once_or_retryable(cut: str) -> None:
    begun = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 100\r\n\r\n[{}"
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 4\r\n\r\n[{}]"
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer_in_turn, args=(server, [b"" if cut == "at-once" else begun, whole]))
        thread.start()
        root = f"http://127.0.0.1:{server.getsockname()[1]}/dicom-web"
        client = DicomwebClient(root, ArchiveSession(PacsSettings(name="broken", dicomweb_root=root)))
        if cut == "in-the-body":
            with pytest.raises(UpstreamError) as failure:
                client.studies()
            assert failure.value.retryable
        assert len(client.studies().datasets) == 1
        client.close()
        thread.join()


def answer_in_turn(server: socket.socket, answers: list[bytes]) -> None:
    for answer in answers:
        connection, _ = server.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)


class Renewing:
    """A credential whose first token has ended."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = [is_secret(one) for one in tokens]
        self.breakers = ()
        self.closed = False

    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self._tokens[0]}"}

    def renewed(self, refused: Mapping[str, str]) -> Mapping[str, str] | None:
        assert refused == self.headers()
        del self._tokens[0]
        return self.headers() if self._tokens else None

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("tokens", [("ended-token-1", "fresh-token-2"), ("ended-token-1",)])
def test_ended_token_is_renewed_once(tokens: tuple[str, ...]) -> None:
    archive = an_archive()
    archive.instead = lambda path: (
        None if archive.headers_seen[-1]["Authorization"] == "Bearer fresh-token-2" else Response("", 401)
    )
    credential = Renewing(*tokens)
    with a_client(archive) as reached:
        settings = PacsSettings(name="held", dicomweb_root=reached.root)
        client = DicomwebClient(reached.root, ArchiveSession(settings, credential=credential))
        if len(tokens) == 2:
            assert len(client.studies().datasets) == 1
        else:
            with pytest.raises(UpstreamRefused):
                client.studies()
        client.close()
    assert len(archive.asked) == len(tokens)
    assert credential.closed


def test_credential_and_vendor_headers_go_with_each_request() -> None:
    archive = an_archive()
    with a_client(archive, user="sync", password=is_secret("archive-password-1"), headers={"X-Tenant": "north"}) as client:
        client.studies()
        client.metadata(STUDY)

    for seen in archive.headers_seen:
        assert seen["Authorization"].startswith("Basic ")
        assert seen["X-Tenant"] == "north"
        assert seen["Accept"] == "application/dicom+json"


def test_certificate_of_a_sites_own_authority(tmp_path: Path) -> None:
    authority = TestAuthority.in_folder(tmp_path)
    with serving_tls(an_archive().app(), free_port_number(), authority.chain()) as base:
        root = f"{base}/dicom-web"
        trusting = PacsSettings(name="held", dicomweb_root=root, certificate_authority=authority.file)
        with_authority = DicomwebClient(root, ArchiveSession(trusting))
        without = DicomwebClient(root, ArchiveSession(PacsSettings(name="held", dicomweb_root=root)))
        assert len(with_authority.studies().datasets) == 1
        with pytest.raises(UpstreamError):
            without.studies()
        with_authority.close()
        without.close()


def test_no_more_connections_than_the_site_allows() -> None:
    together, most = [0], [0]
    lock = threading.Lock()
    archive = an_archive()

    def slow(path: str) -> Response | None:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        threading.Event().wait(0.02)
        with lock:
            together[0] -= 1
        return None

    archive.instead = slow
    with a_client(archive, max_connections=2) as client:
        threads = [threading.Thread(target=client.studies) for _ in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    assert most[0] == 2


def test_what_is_no_uid_reaches_no_archive() -> None:
    archive = an_archive()
    with a_client(archive) as client:
        for odd in ("../admin", "1.2?x=1", ""):
            with pytest.raises(ValueError, match="UID"):
                client.series(StudyInstanceUID(odd))
        with pytest.raises(ValueError, match="series"):
            client.metadata(STUDY, None, SopInstanceUID("1.2"))
    assert archive.asked == []
