"""Any address, written in any way: what nginx fetches by itself is what our own parser takes, of the token's study (group 12).

``tests/unit/test_nginx_addresses.py`` compares the patterns; here a real nginx decodes, normalises and matches.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from imaging_cds.nginx_plan import Mode
from imaging_server.resource import parse_path
from tests.nginx_actors import FILES, OCTETS, Front, a_front
from tests.security.gateway_stubs import FRAME, INSTANCE, STUDY_A, STUDY_B, instance_of, series_of

NUMBER = 300
_WORDS = ("studies", "series", "instances", "frames", "metadata", "rendered", "..", ".", "", "%2e%2e", "Studies", "bulkdata")
_UIDS = (STUDY_A, STUDY_B, series_of(STUDY_A), instance_of(STUDY_A), instance_of(STUDY_B), "1.2.", ".1", "1..2", "1" * 65, "")
_NUMBERS = ("1", "1,2", "2", "0", "01", "1,", "1,,2", "999999999", "-1", "%31", "1%2c2")
_MARKS = (
    *("/", "//", "%2f", "%2F", "%5c", ";", "?", "%3f", "#", "%00", "%0a", "%0d%0a", "%20"),
    *("..", "%2e%2e/", "/./", "/../", "*"),
)


@pytest.fixture(scope="module", params=list(Mode), ids=lambda mode: mode.value)
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with a_front(tmp_path_factory.mktemp("nginx"), request.param) as running:
        yield running


def an_address(chance: random.Random) -> str:
    """Below the DICOMweb root: a good address, its neighbours, and rubbish."""
    if chance.random() < 0.3:
        words = [chance.choice(_WORDS + _UIDS + _NUMBERS) for _ in range(chance.randint(1, 9))]
        return "/" + "/".join(words)
    path = chance.choice([f"/studies/{STUDY_A}", f"/studies/{STUDY_A}/series/{series_of(STUDY_A)}", INSTANCE, FRAME])
    if chance.random() < 0.2:
        path = path.replace(STUDY_A, STUDY_B)
    for _ in range(chance.randint(0, 3)):
        at = chance.randrange(1, len(path) + 1)
        change = chance.randrange(4)
        if change == 0:
            path = path[:at] + chance.choice(_MARKS) + path[at:]
        elif change == 1:
            path = path[: at - 1] + path[at:]
        elif change == 2:
            path = path[: at - 1] + f"%{ord(path[at - 1]):02x}" + path[at:]
        else:
            path = path[:at] + chance.choice(_UIDS + _NUMBERS + _WORDS) + path[at:]
    return quote(path, safe="/%?#;,*.-_~!$&'()+:@=")


def test_no_way_of_writing_leads_around_the_grammar(front: Front) -> None:
    front.world.start_anew()
    chance, token = random.Random(2612), front.world.north.token("pat-a")  # noqa: S311 - the same addresses each time
    fetched = 0
    for number in range(NUMBER):
        path = an_address(chance)
        front.world.pacs.asked.clear()
        accept = OCTETS if number % 2 else FILES

        sent = {"Authorization": f"Bearer {token}", "Accept": accept, "X-Request-Id": f"request-{number}-x"}
        answer = front.world.send("GET", front.world.root + path, sent)

        assert answer.status < 500, path
        assert (answer.status == 200) >= (b"pixels" in answer.body)
        assert STUDY_B.encode() not in answer.body or answer.status != 200, path
        for asked in front.world.pacs.retrievals():
            resource = parse_path(asked.path.removeprefix("/archive/dicom-web"))
            assert resource is not None, (path, asked.target)
            assert resource.study == STUDY_A, (path, asked.target)
            assert "?" not in asked.target, (path, asked.target)
        # nginx itself answers 400 to what is no address at all.
        if front.mode is Mode.ACCEL and answer.status != 400:
            by_nginx = front.nginx.upstream_statuses(f"request-{number}-x") == ["200", "200"]
            assert not by_nginx or parse_path(path) is not None, path
            fetched += by_nginx
        else:
            fetched += answer.status == 200

    assert fetched > 20, "nothing was shown"
