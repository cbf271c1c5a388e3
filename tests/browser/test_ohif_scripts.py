"""The viewer's own scripts, one by one, in a plain page: what they read, keep, refuse and draw."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response, request
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


def code(value: str, meaning: str = "") -> list[dict[str, str]]:
    return [{"CodeValue": value, "CodingSchemeDesignator": "DCM", "CodeMeaning": meaning}]


def named(value: str, **content: Any) -> dict[str, Any]:
    return {"ConceptNameCodeSequence": code(value), **content}


def report(coordinates: dict[str, Any], observer_type: str = "121007") -> dict[str, Any]:
    """A TID 1500 report as OHIF naturalises it, with one measurement group around these coordinates."""
    group = named(
        "125007",
        ValueType="CONTAINER",
        ContentSequence=[
            named("112039", ValueType="TEXT", TextValue="Nodule 1"),
            named("121071", ValueType="CODE", ConceptCodeSequence=code("27925004", "Nodule")),
            {
                "ValueType": "NUM",
                "ConceptNameCodeSequence": code("103339001", "Long Axis"),
                "MeasuredValueSequence": [{"NumericValue": "9.6", "MeasurementUnitsCodeSequence": code("mm")}],
                "ContentSequence": [coordinates],
            },
        ],
    )
    return {
        **named("126000"),
        "VerificationFlag": "UNVERIFIED",
        "ContentSequence": [
            named("121005", ValueType="CODE", ConceptCodeSequence=code(observer_type)),
            named("121013", ValueType="TEXT", TextValue="Some AI"),
            named("126010", ValueType="CONTAINER", ContentSequence=[group]),
        ],
    }


def scoord(graphic_type: str, *numbers: float) -> dict[str, Any]:
    image = {"ValueType": "IMAGE", "ReferencedSOPSequence": [{"ReferencedSOPInstanceUID": "1.2.3"}]}
    return {"ValueType": "SCOORD", "GraphicType": graphic_type, "GraphicData": numbers, "ContentSequence": [image]}


@pytest.fixture(scope="module")
def scripts_page(ohif_browser: Browser) -> Iterator[Page]:
    app = Flask("scripts", static_folder=str(CHECKOUT / "static"))
    app.add_url_rule("/", "page", lambda: "<!doctype html><title>Scripts</title>")
    app.add_url_rule("/images/whose-token", "token", lambda: request.headers.get("Authorization", "none"))
    with serving(app, free_port_number()) as base:
        page = ohif_browser.new_page()
        page.goto(base)
        yield page
        page.close()


def call(page: Page, module: str, function: str, *arguments: Any) -> Any:
    script = "async ([m, f, a]) => JSON.parse(JSON.stringify((await import(`/static/viewer/${m}`))[f](...a)))"
    return page.evaluate(script, [module, function, arguments])


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("?StudyInstanceUIDs=1.2.3", "?StudyInstanceUIDs=1.2.3"),
        ("?StudyInstanceUIDs=1.2.3,1.2.4", "?StudyInstanceUIDs=1.2.3,1.2.4"),
        ("?studyinstanceuids=1.2.3&token=x", "?StudyInstanceUIDs=1.2.3"),
        ("?StudyInstanceUIDs=1.2.3&StudyInstanceUIDs=9.9", "?StudyInstanceUIDs=1.2.3"),
        ("?StudyInstanceUIDs=1.2,1.3&hangingProtocolId=imaging-cds-compare",) * 2,
        ("?StudyInstanceUIDs=1.2&hangingProtocolId=@ohif/other", "?StudyInstanceUIDs=1.2"),
        ("?StudyInstanceUIDs=javascript:alert(1)", ""),
        ("?url=http://x.example&configUrl=y&customization=z&debug=true", ""),
        ("?initialSeriesInstanceUID=1.2&initialSOPInstanceUID=1.3", "?initialSeriesInstanceUID=1.2&initialSOPInstanceUID=1.3"),
    ],
)
def test_only_uids_of_known_parameters_stay_in_the_address(scripts_page: Page, asked: str, kept: str) -> None:
    assert call(scripts_page, "address.js", "knownQuery", asked) == kept


def test_a_device_report_is_read_with_its_region_and_measurement(scripts_page: Page) -> None:
    """PS3.16 TID 1500 with the coordinates inferred from a measurement (TID 300) rather than from the group."""
    read = call(scripts_page, "sr_measurements.js", "readMeasurementReport", report(scoord("POLYLINE", 10, 20, 30, 40)))

    assert (read["isByDevice"], read["isVerified"], read["author"]) == (True, False, "Some AI")
    assert read["regions"] == [
        {
            "label": "Nodule 1",
            "finding": "Nodule",
            "measurements": [{"name": "Long Axis", "derivation": "", "value": 9.6, "unit": "mm"}],
            "evaluations": [],
            "graphics": [
                {
                    "type": "POLYLINE",
                    "points": [[10, 20], [30, 40]],
                    "sopInstanceUid": "1.2.3",
                    "frameOfReferenceUid": None,
                }
            ],
        }
    ]


def test_coordinates_in_space_are_read_with_their_frame_of_reference(scripts_page: Page) -> None:
    in_space = {
        "ValueType": "SCOORD3D",
        "GraphicType": "POINT",
        "GraphicData": [1, 2, 3],
        "ReferencedFrameOfReferenceUID": "1.9",
    }

    read = call(scripts_page, "sr_measurements.js", "readMeasurementReport", report(in_space))

    [graphic] = read["regions"][0]["graphics"]
    assert (graphic["points"], graphic["frameOfReferenceUid"]) == ([[1, 2, 3]], "1.9")


def test_a_persons_report_is_not_taken_for_a_device_s(scripts_page: Page) -> None:
    read = call(
        scripts_page, "sr_measurements.js", "readMeasurementReport", report(scoord("POINT", 1, 2), observer_type="121006")
    )

    assert read["isByDevice"] is False


@pytest.mark.parametrize(
    "instance",
    [{}, {"ConceptNameCodeSequence": code("18748-4")}, {"ConceptNameCodeSequence": None, "ContentSequence": None}],
)
def test_any_other_document_is_left_alone(scripts_page: Page, instance: dict[str, Any]) -> None:
    assert call(scripts_page, "sr_measurements.js", "readMeasurementReport", instance) is None


@pytest.mark.parametrize("numbers", [[], [1, 2, 3], ["x", "y"], {"BulkDataURI": "bulk"}])
def test_coordinates_that_cannot_be_read_are_left_out(scripts_page: Page, numbers: object) -> None:
    broken = {**scoord("POLYLINE"), "GraphicData": numbers}

    read = call(scripts_page, "sr_measurements.js", "readMeasurementReport", report(broken))

    assert read["regions"] == []


def test_an_oblique_ellipse_and_a_circle_are_outlined_truly(scripts_page: Page) -> None:
    """PS3.3 C.18.6.1.2: an ellipse by the ends of its axes, a circle by its centre and a point on it."""
    oblique = {"type": "ELLIPSE", "points": [[0, 0], [8, 6], [2.5, 5], [5.5, 1]]}
    circle = {"type": "CIRCLE", "points": [[10, 10], [13, 14]]}

    ellipse_points = call(scripts_page, "ai_findings.js", "outlinePoints", oblique)
    circle_points = call(scripts_page, "ai_findings.js", "outlinePoints", circle)

    assert ellipse_points[0] == pytest.approx([8, 6])
    assert max(math.dist(point, (4, 3)) for point in ellipse_points) == pytest.approx(5)
    assert min(math.dist(point, (4, 3)) for point in ellipse_points) == pytest.approx(2.5)
    assert [math.dist(point, (10, 10)) for point in circle_points] == pytest.approx([5] * len(circle_points))


def test_a_verified_result_is_no_longer_called_unsigned(scripts_page: Page) -> None:
    read = call(scripts_page, "sr_measurements.js", "readMeasurementReport", report(scoord("POINT", 1, 2)))

    authors = {"signed": "AI", "unsigned": "AI (unsigned)"}

    unsigned = call(scripts_page, "ai_findings.js", "wordsFor", read, read["regions"][0], authors)
    signed = call(scripts_page, "ai_findings.js", "wordsFor", {**read, "isVerified": True}, read["regions"][0], authors)

    assert unsigned == ["AI (unsigned): Some AI", "Nodule, Nodule 1", "Long Axis 9.6 mm"]
    assert signed[0] == "AI: Some AI"


def test_the_token_goes_to_the_launchs_servers_and_is_taken_off_everywhere_else(
    scripts_page: Page, ohif_browser: Browser
) -> None:
    """Group 32: the bearer never reaches another origin, whatever the viewer's code sets."""
    heard: list[str | None] = []
    foreign = Flask("foreign")

    @foreign.route("/whose-token", methods=["GET", "OPTIONS"])
    def whose_token() -> Response:
        heard.append(request.headers.get("Authorization"))
        allow = {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "*, Authorization"}
        return Response("heard", headers=allow)

    with serving(foreign, free_port_number()) as elsewhere:
        seen = scripts_page.evaluate(
            """async (elsewhere) => {
              const { guardRequests } = await import("/static/viewer/requests.js");
              const keeper = { current: async () => "T", afterRefusalOf: async () => null, hasEnded: false, end() {} };
              const page = { location, fetch: fetch.bind(window), XMLHttpRequest };
              guardRequests(page, [`${location.origin}/images`], keeper);
              const headers = { Authorization: "Bearer T" };
              const byXhr = (address) => new Promise((resolve) => {
                const request = new page.XMLHttpRequest();
                request.open("GET", address);
                request.setRequestHeader("Authorization", headers.Authorization);
                request.onloadend = () => resolve(request.responseText);
                request.send();
              });
              const byFetch = async (address) => (await page.fetch(address, { headers })).text();
              const near = [await byXhr("/images/whose-token"), await byFetch("/images/whose-token")];
              return [...near, await byXhr(`${elsewhere}/whose-token`), await byFetch(`${elsewhere}/whose-token`)];
            }""",
            elsewhere,
        )

    assert seen == ["Bearer T", "Bearer T", "heard", "heard"]
    assert heard == [None, None]


KEEPER = """
async ({ answers, longestTimerMs, useAfterMs, uses }) => {
  const { TokenKeeper } = await import("/static/viewer/token.js");
  const [realFetch, realTimeout] = [window.fetch, window.setTimeout];
  const sleep = (ms) => new Promise((resolve) => realTimeout(resolve, ms));
  const asked = [];
  const ended = [];
  window.fetch = async (address, options) => {
    asked.push(options.body);
    const [status, body] = answers[Math.min(asked.length, answers.length) - 1];
    if (status === 0) throw new TypeError("no network");
    return new Response(JSON.stringify(body), { status });
  };
  // A sleeping page: its long timers never fire, its short ones at once.
  window.setTimeout = (work, ms) => (ms > longestTimerMs ? 0 : realTimeout(work, Math.min(ms, 5)));
  try {
    const keeper = new TokenKeeper({ tokenPath: "/token", onEnded: (reason) => ended.push(reason) });
    keeper.start();
    await sleep(useAfterMs);
    const tokens = await Promise.all(Array.from({ length: uses }, () => keeper.current()));
    return { tokens, posts: asked.length, ended, header: keeper.header() };
  } finally {
    [window.fetch, window.setTimeout] = [realFetch, realTimeout];
  }
}
"""


def keep(page: Page, *answers: tuple[int, Any], sleeps: bool = False, uses: int = 1) -> Any:
    settings = {
        "answers": answers,
        "longestTimerMs": 50 if sleeps else 60_000,
        "useAfterMs": 300 if sleeps else 0,
        "uses": uses,
    }
    return page.evaluate(KEEPER, settings)


def test_a_token_that_ran_out_in_a_sleeping_page_is_renewed_before_its_use(scripts_page: Page) -> None:
    """Group 33: on demand, when the timer did not fire."""
    first, second = {"access_token": "T1", "expires_in": 0.1}, {"access_token": "T2", "expires_in": 300}

    kept = keep(scripts_page, (200, first), (200, second), sleeps=True)

    assert kept == {"tokens": ["T2"], "posts": 2, "ended": [], "header": {"Authorization": "Bearer T2"}}


def test_many_requests_wait_for_one_renewal(scripts_page: Page) -> None:
    kept = keep(scripts_page, (200, {"access_token": "T1", "expires_in": 300}), sleeps=False, uses=20)

    assert kept["tokens"] == ["T1"] * 20
    assert kept["posts"] == 1


@pytest.mark.parametrize("fault", [(0, None), (503, {}), (200, {"access_token": 1}), (200, {"expires_in": 5})])
def test_a_passing_fault_is_retried(scripts_page: Page, fault: tuple[int, Any]) -> None:
    kept = keep(scripts_page, fault, (200, {"access_token": "T2", "expires_in": 300}))

    assert (kept["tokens"], kept["posts"], kept["ended"]) == (["T2"], 2, [])


def test_a_lasting_fault_ends_the_session_as_unreachable(scripts_page: Page) -> None:
    kept = keep(scripts_page, (503, {}))

    assert (kept["tokens"], kept["posts"], kept["ended"]) == ([None], 4, ["unreachable"])


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_session_that_is_gone_is_not_asked_again(scripts_page: Page, status: int) -> None:
    kept = keep(scripts_page, (status, {}), uses=3)

    assert kept == {"tokens": [None] * 3, "posts": 1, "ended": ["session"], "header": {}}
