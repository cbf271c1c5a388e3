"""Two servers with two workers each behind nginx on one PostgreSQL (issue 7): a launch goes from process to process, and a
rolling restart during a reading session loses nothing.

Needs ``apt-get install postgresql nginx-light libnginx-mod-http-set-misc``.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice, pairwise
from pathlib import Path
from urllib.parse import urljoin

import pytest
import requests

from fhir_imaging.audit import AuditAction, AuditOutcome
from imaging_cds.nginx_plan import Mode
from tests.interop.foreign_parties import HandBrowser
from tests.interop.outsiders import curl
from tests.interop.postgresql_actors import PostgresqlServer
from tests.interop.two_application_actors import (
    DECISION_S,
    STUDY,
    Asking,
    ReadingSession,
    Served,
    Site,
    a_site,
    frame,
    session_in,
)

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("outsiders")]


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def site(
    request: pytest.FixtureRequest, server: PostgresqlServer, tmp_path_factory: pytest.TempPathFactory, viewer_dir: Path
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("two")
    with a_site(directory, server.new_database(), viewer_dir, request.param) as running:
        yield running


@pytest.mark.parametrize("first", range(2))
def test_each_step_of_a_launch_may_be_another_process(site: Site, first: int) -> None:
    """Launch, callback, study list, viewer, session, token and frame: each by another process than the one before."""
    processes = [(app, worker) for worker in (0, 1) for app in site.apps]
    turns = islice(cycle(processes), first, None)
    browser, address = HandBrowser(), site.launch_address()
    answered: list[int] = []

    @contextmanager
    def another() -> Iterator[str]:
        app, number = next(turns)
        answered.append(app.workers()[number])
        with site.only(app, answered[-1]):
            yield app.url

    def asked(method: str, path: str, **more: object) -> requests.Response:
        with another() as base:
            return browser.request(method, f"{base}{path}", **more)

    answer = asked("GET", address.removeprefix(site.url))
    while answer.is_redirect:
        address = urljoin(address, answer.headers["Location"])
        ours = address.startswith(f"{site.url}/")
        answer = asked("GET", address.removeprefix(site.url)) if ours else browser.request("GET", address)
    assert answer.status_code == 200, answer.text
    session = session_in(address)
    listed = asked("GET", f"{session}/studies")
    viewer = asked("GET", f"{session}/viewer/{STUDY}")
    state = asked("GET", f"{session}/state")
    token = asked("POST", f"{session}/token", json={}, headers={"Origin": site.url})
    with another() as base:
        image = frame(base, token.json()["access_token"])

    assert [one.status_code for one in (listed, viewer, state, token, image)] == [200] * 5
    assert STUDY in listed.text
    assert state.json()["alive"]
    assert len(set(answered)) == 4, "each of the processes had its turn"
    assert all(one != following for one, following in pairwise(answered))


def test_through_nginx_both_servers_answer(site: Site) -> None:
    before = {app.url: lines_of(app) for app in site.apps}

    assert [curl("GET", f"{site.url}/healthz").status_code for _ in range(8)] == [200] * 8

    assert all(lines_of(app) > before[app.url] for app in site.apps)


def test_rolling_restart_during_a_reading_session_loses_nothing(site: Site) -> None:
    reading = ReadingSession.begun(site)
    token = reading.token(site.url).json()["access_token"]
    known = len(opened(site))
    asking = Asking(
        {
            "frame": lambda: frame(site.url, token),
            "state": lambda: reading.state(site.url),
            "token": lambda: reading.token(site.url),
            "cds": lambda: curl("POST", f"{site.url}/cds-services/imaging-findings/feedback", json={"feedback": []}),
            "page": lambda: curl("GET", f"{site.url}/"),
        }
    )
    with asking:
        asking.more(20)
        for app in site.apps:
            assert app.stop() == 0
            asking.more(20)
            app.start()
            asking.more(10)

    assert asking.wrong() == [], "one after the other, and nobody noticed"
    assert min(Counter(name for name, _, _ in asking.answers).values()) > 10
    assert max(seconds for *_, seconds in asking.answers) < 15
    assert reading.state(site.url).json()["alive"]
    assert len(opened(site)) == known + 1, "once in the window, in whichever process"


def test_access_that_ended_at_the_ehr_ends_in_every_process_within_its_time(site: Site) -> None:
    reading = ReadingSession.begun(site)
    token = reading.token(site.url).json()["access_token"]
    bases = [site.url, *(app.url for app in site.apps)]
    assert [frame(base, token).status_code for base in bases * 4] == [200] * 12
    record = site.ehr.store.read("ImagingStudy", "demo-a-ct")
    try:
        site.ehr.store.delete("ImagingStudy", "demo-a-ct")
        site.apps[0].stop()
        site.apps[0].start()
        time.sleep(DECISION_S)

        assert {frame(base, token).status_code for base in bases * 4} == {403}
    finally:
        site.ehr.store.put(record)


def opened(site: Site) -> list[object]:
    """Records that the study was opened."""
    allowed = [one for one in site.audited() if one.outcome is AuditOutcome.ALLOWED]
    return [one for one in allowed if one.action is AuditAction.STUDY_OPENED and one.study_instance_uid == STUDY]


def lines_of(app: Served) -> int:
    """Requests that this server has answered."""
    return app.log_file.read_text().count("/healthz")
