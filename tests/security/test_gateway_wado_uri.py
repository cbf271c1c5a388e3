"""Attacks by way of WADO-URI: the query is the address, so what holds for paths must hold for it (groups 1, 9-16, 34)."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.security.gateway_actors import World
from tests.security.gateway_stubs import STUDY_A, STUDY_B, instance_of, series_of


def query(study: str = STUDY_A, series: str | None = None, instance: str | None = None) -> str:
    uids = {"studyUID": study, "seriesUID": series or series_of(study), "objectUID": instance or instance_of(study)}
    return "requestType=WADO&" + "&".join(f"{name}={value}" for name, value in uids.items())


@pytest.mark.parametrize("name", ["studyUID", "seriesUID", "objectUID"])
@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "..",
        "1..2",
        "1.2.",
        "1.2%0A",
        "1.2%00",
        "1.2%20",
        "1.2,1.3",
        "1.2%5C1.3",
        "*",
        "1.*",
        "1.2%2F..%2F..",
        "%D9%A1",
        "1." + "2" * 63,
        "2.25.11%2Fmetadata",
        "2.25.11%3Fa%3Db",
        "2.25.11%23",
        "2.25.11;a",
        "%252e%252e",
    ],
)
def test_what_is_not_a_uid_reaches_no_server(world: World, name: str, uid: str) -> None:
    """Groups 12 and 13."""
    pieces = [piece for piece in query().split("&") if not piece.startswith(name)]

    answer = world.get(f"/wado?{'&'.join(pieces)}&{name}={uid}", world.north.token())

    assert answer.status == 400
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize(
    "attack",
    [
        # Whatever a reader of the query would take for the study: the first, the last, another spelling.
        f"{query(STUDY_B)}&studyUID={STUDY_A}",
        f"{query(STUDY_A)}&studyUID={STUDY_B}",
        f"{query(STUDY_A)}&StudyUID={STUDY_B}",
        f"{query(STUDY_A)}&studyuid={STUDY_B}",
        f"{query(STUDY_A)}&StudyInstanceUID={STUDY_B}",
        f"{query(STUDY_A)}&objectUID={instance_of(STUDY_B)}",
        f"{query(STUDY_A)}&ObjectUID={instance_of(STUDY_B)}",
        f"{query(STUDY_A)}&study%55ID={STUDY_B}",
        f"{query(STUDY_A)}%26objectUID={instance_of(STUDY_B)}",
        f"{query(STUDY_A)};objectUID={instance_of(STUDY_B)}",
        f"requestType=WADO&objectUID={instance_of(STUDY_B)}",
        f"{query(STUDY_A)}&presentationUID={instance_of(STUDY_B)}&presentationSeriesUID={series_of(STUDY_B)}",
    ],
)
def test_second_opinion_about_the_object_is_refused(world: World, attack: str) -> None:
    """Group 14, M6: nothing is left for the gateway and the archive to read differently."""
    answer = world.get(f"/wado?{attack}", world.north.token())

    assert answer.status == 400
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize(
    "mixed",
    [
        query(STUDY_A, series=series_of(STUDY_B)),
        query(STUDY_A, instance=instance_of(STUDY_B)),
        query(STUDY_A, series=series_of(STUDY_B), instance=instance_of(STUDY_B)),
        query(STUDY_B),
        query(STUDY_B, series=series_of(STUDY_A), instance=instance_of(STUDY_A)),
        query("2.25.99"),
    ],
)
@pytest.mark.parametrize("content_type", ["application/dicom", "image/jpeg"])
def test_object_of_b_in_whatever_company_stays_closed(world: World, mixed: str, content_type: str) -> None:
    """Groups 9 and 10: all three must belong together and to the token's patient."""
    answer = world.get(f"/wado?{mixed}&contentType={content_type}", world.north.token())

    assert answer.status == 403
    assert world.pacs.retrievals() == []
    assert world.audit()[0].outcome == "denied"


@pytest.mark.parametrize("name", ["access_token", "token", "Authorization", "bearer"])
def test_token_in_the_query_is_refused(world: World, name: str) -> None:
    """Group 1."""
    answer = world.get(f"/wado?{query()}&{name}={world.north.token()}")

    assert answer.status in (400, 401)
    assert world.pacs.asked == world.north.asked == []


@pytest.mark.parametrize(
    ("scope", "status"), [("patient/ImagingStudy.s", 403), ("patient/Patient.rs", 403), ("patient/*.r", 200)]
)
def test_scope_is_that_of_reading(world: World, scope: str, status: int) -> None:
    """Group 7: retrieving needs ``r``, by this address as by any other."""
    answer = world.get(f"/wado?{query()}", world.north.token(scope=scope))

    assert answer.status == status
    assert (answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"') is (status == 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_not_offered(world: World, method: str) -> None:
    """Group 16."""
    answer = world.send(method, f"{world.root}/wado?{query()}", {"Authorization": f"Bearer {world.north.token()}"})

    assert answer.status in (405, 501)
    assert world.pacs.asked == []


@pytest.mark.parametrize("path", ["/wado/", "/WADO", "/wado-uri", "//wado", "/wado/studies", "/studies/../wado"])
def test_other_spellings_of_the_address_are_not_there(world: World, path: str) -> None:
    answer = world.get(f"{path}?{query()}", world.north.token())

    assert answer.status == 404
    assert world.pacs.asked == []


def test_query_stands_in_no_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Group 34: the access log has the route. (The stand-ins' own server logs lines; ours does not.)"""
    caplog.set_level("DEBUG")
    world.get(f"/wado?{query()}&contentType=image/jpeg", world.north.token())

    ours = [record.getMessage() for record in caplog.records if not record.name.startswith(("werkzeug", "urllib3"))]
    assert any("/wado" in line for line in ours)
    assert not any("objectUID" in line for line in ours)


names = st.sampled_from(
    [
        *("requestType", "studyUID", "seriesUID", "objectUID", "contentType", "transferSyntax", "frameNumber", "rows"),
        "accept",
        "x",
    ]
)
values = st.one_of(
    st.sampled_from(["WADO", "application/dicom", "image/png", "1", "*", "", STUDY_A, STUDY_B]),
    st.sampled_from([series_of(STUDY_A), series_of(STUDY_B), instance_of(STUDY_A), instance_of(STUDY_B)]),
    st.text(max_size=20),
)


@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(names, values), max_size=7), st.sampled_from(["GET", "HEAD"]))
@example([tuple(pair.split("=")) for pair in query(STUDY_B).split("&")], "GET")
def test_any_query_is_answered_without_b(running: World, pairs: list[tuple[str, str]], method: str) -> None:
    running.start_anew()
    target = "/wado?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)

    answer = running.send(method, running.root + target, {"Authorization": f"Bearer {running.north.token()}"})

    assert answer.status in (200, 400, 403, 404, 406)
    assert STUDY_B.encode() not in answer.body or answer.status != 200
    assert all(STUDY_B not in one.path for one in running.pacs.asked)
