"""The small pictures beside the studies: fetched with the token, few at a time, for rows on screen only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event

import pytest
from flask import Response
from playwright.sync_api import Browser, expect

from tests.browser.list_actors import ListServer, a_browser, opened_list, wait_until
from tests.browser.listed_studies import many_studies
from tests.conftest import free_port_number, serving

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_path: str) -> Iterator[Browser]:
    with a_browser(chromium_path) as launched:
        yield launched


def a_server(count: int = 6, **more: object) -> ListServer:
    port = free_port_number()
    studies = many_studies(count, every_days=150, picture_base=f"http://127.0.0.1:{port}/dicom-web")
    return ListServer(studies=studies, port=port, **more)  # type: ignore[arg-type]


def test_pictures_come_with_the_token_as_blobs_that_are_let_go_again(browser: Browser) -> None:
    server = a_server(4)
    with opened_list(browser, server) as page:
        page.locator("#study-" + server.studies[3].uid.replace(".", "\\.")).scroll_into_view_if_needed()
        expect(page.locator(".thumbnail img")).to_have_count(4)
        address = page.locator(".thumbnail img").first.get_attribute("src") or ""
        is_gone = page.evaluate(
            "(src) => new Promise((say) => { const one = new Image(); one.onload = () => say(false);"
            " one.onerror = () => say(true); one.src = src; })",
            address,
        )

    assert server.tokens == [False], "one token for all"
    assert {sent for _, sent in server.pictures} == {"Bearer token-1"}
    assert address.startswith("blob:")
    assert is_gone


def test_at_most_three_pictures_are_asked_for_at_once(browser: Browser) -> None:
    server = a_server(8, hold_pictures=Event())
    with opened_list(browser, server, height=1600) as page:
        wait_until(lambda: server.at_once == 3, page)
        page.wait_for_timeout(150)
        assert server.hold_pictures
        server.hold_pictures.set()
        expect(page.locator(".thumbnail img").nth(5)).to_be_attached()

    assert server.most_at_once == 3


def test_rows_never_seen_are_never_asked_for(browser: Browser) -> None:
    server = a_server(60)
    with opened_list(browser, server) as page:
        expect(page.locator(".thumbnail img").nth(2)).to_be_attached()
        page.wait_for_timeout(300)

    asked = {path.split("/")[1] for path, _ in server.pictures}
    assert asked < {study.uid for study in server.studies[:12]}


def test_a_picture_whose_row_leaves_the_screen_is_given_up_and_asked_for_again_when_it_is_back(browser: Browser) -> None:
    server = a_server(60, hold_pictures=Event())
    with opened_list(browser, server) as page:
        wait_until(lambda: server.at_once == 3, page)
        with page.expect_event("requestfailed", lambda request: "/dicom-web/" in request.url):
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
        assert server.hold_pictures
        server.hold_pictures.set()
        page.evaluate("scrollTo(0, 0)")
        expect(page.locator("li.study").first.locator(".thumbnail img")).to_be_attached()

    first = server.studies[0].uid
    assert sum(first in path for path, _ in server.pictures) == 2


def test_a_refused_token_is_renewed_once_for_all_and_the_picture_asked_for_again(browser: Browser) -> None:
    server = a_server(3, refused_tokens={"token-1"})
    with opened_list(browser, server) as page:
        expect(page.locator(".thumbnail img")).to_have_count(3)

    assert server.tokens == [False, True]


def test_a_token_that_stays_refused_leaves_the_words_of_the_row(browser: Browser) -> None:
    server = a_server(3, refused_tokens={"token-1", "token-2"})
    with opened_list(browser, server) as page:
        wait_until(lambda: len(server.pictures) >= 4, page)
        page.wait_for_timeout(200)

        assert page.locator(".thumbnail .glyph").count() == 3
    assert server.tokens == [False, True], "nobody asks for a third"


@pytest.mark.parametrize(
    "answer",
    [
        Response(status=404),
        Response("<p>not a picture</p>", mimetype="text/html"),
        Response(b"no jpeg at all", mimetype="image/jpeg"),
        Response(status=302, headers={"Location": "/dicom-web/elsewhere"}),
    ],
)
def test_what_is_no_picture_leaves_the_glyph_and_is_not_asked_for_again(browser: Browser, answer: Response) -> None:
    server = a_server(2, picture_answers=[answer])
    with opened_list(browser, server) as page:
        expect(page.locator(".thumbnail img")).to_have_count(1)
        page.wait_for_timeout(200)

        assert page.locator(".thumbnail .glyph").count() == 1
    assert len(server.pictures) == 2


def test_a_busy_server_is_left_alone_for_as_long_as_it_says(browser: Browser) -> None:
    busy = [Response(status=503, headers={"Retry-After": "1"}) for _ in range(2)]
    server = a_server(2, picture_answers=busy)
    with opened_list(browser, server) as page:
        wait_until(lambda: len(server.pictures) == 2, page)
        asked_at = time.monotonic()
        expect(page.locator(".thumbnail img")).to_have_count(2)

    assert time.monotonic() - asked_at > 0.8


def test_several_busy_moments_are_waited_for_each_counted_once(browser: Browser) -> None:
    busy = [Response(status=503, headers={"Retry-After": "1"}) for _ in range(6)]
    server = a_server(3, picture_answers=busy)
    with opened_list(browser, server) as page:
        expect(page.locator(".thumbnail img")).to_have_count(3)

    assert len(server.pictures) == 9


def test_a_shorter_wait_does_not_end_a_longer_one(browser: Browser) -> None:
    def slowly() -> Iterator[bytes]:
        time.sleep(0.4)
        yield b"busy"

    answers = [
        Response(status=503, headers={"Retry-After": "3"}),
        Response(slowly(), status=503, headers={"Retry-After": "1"}),
    ]
    server = a_server(2, picture_answers=answers)
    with opened_list(browser, server) as page:
        wait_until(lambda: len(server.pictures) == 2, page)
        asked_at = time.monotonic()
        wait_until(lambda: len(server.pictures) > 2, page)

        assert time.monotonic() - asked_at > 2.5
        expect(page.locator(".thumbnail img")).to_have_count(2)


def test_a_row_that_leaves_and_returns_while_the_token_is_asked_for_gets_its_picture(browser: Browser) -> None:
    port = free_port_number()
    pictured = many_studies(2, every_days=150, picture_base=f"http://127.0.0.1:{port}/dicom-web")
    server = ListServer(studies=[*pictured, *many_studies(60)[2:]], port=port, hold_tokens=Event())
    with opened_list(browser, server) as page:
        wait_until(lambda: server.tokens == [False], page)
        for place in ("document.body.scrollHeight", "0"):
            page.evaluate(f"scrollTo(0, {place})")
            page.wait_for_timeout(150)
        assert server.hold_tokens
        server.hold_tokens.set()

        expect(page.locator("li.study").first.locator(".thumbnail img")).to_be_attached()
    first = server.studies[0].uid
    assert sum(first in path for path, _ in server.pictures) == 1


def test_who_saves_data_gets_no_pictures_and_no_token_is_asked_for(browser: Browser) -> None:
    server = a_server(3)
    with opened_list(
        browser, server, scripts=("Object.defineProperty(Navigator.prototype, 'connection', {value: {saveData: true}})",)
    ) as page:
        page.wait_for_timeout(300)

        assert page.locator(".thumbnail .glyph").count() == 3
    assert (server.tokens, server.pictures) == ([], [])


def test_pictures_come_from_an_archive_on_its_own_origin_too(browser: Browser) -> None:
    archive = ListServer(studies=())
    with serving(archive.app(), archive.port, host="localhost"):
        base = f"http://localhost:{archive.port}/dicom-web"
        server = ListServer(studies=many_studies(2, every_days=150, picture_base=base))
        with opened_list(browser, server) as page:
            expect(page.locator(".thumbnail img")).to_have_count(2)

    assert {sent for _, sent in archive.pictures} == {"Bearer token-1"}
    assert server.pictures == []
