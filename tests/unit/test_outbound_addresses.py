"""``OutboundSession.ask`` leaves requests' preparation of addresses out; what is sent must be what requests would have sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from fhir_imaging.clients.http import OutboundSession
from fhir_imaging.errors import UpstreamRefused

BASE = "https://ehr.example/fhir"
_SEGMENTS = st.one_of(
    st.sampled_from(
        ["Patient", "..", ".", "", "a b", "%41", "%2e%2e", "é", "~x", "-", ".x", "a.b", "A;b", "x@y", "a:b", "?", "#"]
    ),
    st.text("abAB01.-_~%/", max_size=5),
)
_BASES = st.sampled_from(
    [BASE, "https://EHR.example/fhir", "https://ehr.example", "https://ehr.example:443/fhir", "HTTPS://ehr.example/f"]
)
_PARAMS = st.lists(
    st.tuples(
        st.sampled_from(["patient", "code", "_count", "a b", "é"]),
        st.one_of(st.sampled_from(["http://loinc.org|72166-2,x|y", "a+b c&d=e", "~-._", "", "%41"]), st.text(max_size=6)),
    ),
    max_size=3,
)


class Caught(Exception):
    """Nothing is sent in these tests."""


class CatchingSession(OutboundSession):
    """Keeps what would be sent."""

    def send(self, request: requests.PreparedRequest, **kwargs: object) -> requests.Response:
        self.caught = (request, kwargs)
        raise Caught


def _sent(session: CatchingSession, call: Callable[[], object]) -> tuple[requests.PreparedRequest, Mapping[str, object]]:
    with pytest.raises(Caught):
        call()
    return session.caught


@pytest.fixture(scope="module")
def session() -> Iterator[CatchingSession]:
    with CatchingSession([BASE]) as opened:
        yield opened


@given(base=_BASES, segments=st.lists(_SEGMENTS, max_size=3), params=_PARAMS)
def test_the_same_request_is_sent(
    session: CatchingSession, base: str, segments: Sequence[str], params: list[tuple[str, str]]
) -> None:
    url = "/".join([base, *segments])
    headers = {"Accept": "application/fhir+json", "Authorization": "Bearer t"}
    try:
        asked, how = _sent(session, lambda: session.ask(url, params, headers=headers, timeout_s=3.0))
    except (UpstreamRefused, UnicodeEncodeError) as refused:
        with pytest.raises(type(refused)):
            session.get(url, params=params, headers=headers, timeout=3.0, stream=True)
        return
    usual, usual_how = _sent(session, lambda: session.get(url, params=params, headers=headers, timeout=3.0, stream=True))

    assert (asked.method, asked.url, asked.body) == (usual.method, usual.url, usual.body)
    assert dict(asked.headers) == dict(usual.headers)
    assert {"stream": session.stream, "verify": session.verify, "cert": session.cert} | dict(how) == usual_how


@pytest.mark.parametrize(
    "url", ["https://elsewhere.example/fhir/Patient", "https://ehr.example:8443/fhir", "https://ehr.example@e/f"]
)
def test_an_origin_that_nobody_configured_is_not_asked(session: CatchingSession, url: str) -> None:
    with pytest.raises(UpstreamRefused):
        session.ask(url, headers={}, timeout_s=1.0)
