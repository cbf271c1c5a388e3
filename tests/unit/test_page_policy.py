"""The Content-Security-Policy of our own pages: what they may load, ask and be framed by."""

from __future__ import annotations

from smart_app.pages import content_policy


def directives(policy: str) -> dict[str, str]:
    return {name: sources for name, _, sources in (one.partition(" ") for one in policy.split("; "))}


def test_a_page_asks_only_its_own_server_unless_it_names_another() -> None:
    plain = directives(content_policy(()))
    with_archive = directives(content_policy((), connects_to=("https://pacs.example", "https://pacs.example")))

    assert plain["connect-src"] == "'self'"
    assert with_archive["connect-src"] == "'self' https://pacs.example"
    assert {name: sources for name, sources in with_archive.items() if name != "connect-src"} == {
        name: sources for name, sources in plain.items() if name != "connect-src"
    }


def test_pictures_may_come_from_memory_and_scripts_never() -> None:
    policy = directives(content_policy(()))

    assert policy["img-src"] == "'self' data: blob:"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["default-src"] == "'none'"
