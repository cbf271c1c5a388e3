"""Our style sheets and scripts over HTTP: immutable under their digest, compressed, and nothing but them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from flask import Flask, url_for
from flask.testing import FlaskClient

from imaging_cds.static_files import ASK_AGAIN, FOR_EVER, StaticFiles

SCRIPT = "// " + "x" * 2000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    below = tmp_path / "static"
    (below / "viewer").mkdir(parents=True)
    (below / "app.css").write_text("body { color: black }")
    (below / "viewer" / "main.js").write_text(SCRIPT)
    (below / "main.js").write_text("another of that name")
    (below / "notes.txt").write_text("not for browsers")
    (tmp_path / "secret.css").write_text("outside")
    return below


def serving(folder: Path) -> tuple[Flask, FlaskClient]:
    app = Flask("static_files", static_folder=None)
    StaticFiles.read(folder).install(app)
    return app, app.test_client()


def address(app: Flask, name: str) -> str:
    with app.test_request_context():
        return url_for("static", filename=name)


def test_a_files_address_holds_its_digest_and_is_kept_for_ever(folder: Path) -> None:
    app, client = serving(folder)
    first = address(app, "viewer/main.js")
    answer = client.get(first, headers={"Accept-Encoding": "gzip"})

    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, FOR_EVER)
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (answer.headers["Content-Encoding"], answer.headers["Vary"]) == ("gzip", "Accept-Encoding")
    assert gzip.decompress(answer.data).decode() == SCRIPT
    assert client.get(first).get_data(as_text=True) == SCRIPT, "plain for whoever cannot unpack"
    # A module names its neighbours by relative paths: they lie beneath the same digest.
    assert first.rpartition("/viewer/")[0] == address(app, "app.css").rpartition("/")[0]

    (folder / "app.css").write_text("body { color: navy }")
    assert address(serving(folder)[0], "viewer/main.js") != first


def test_a_known_file_is_not_sent_again(folder: Path) -> None:
    app, client = serving(folder)
    plain = client.get(address(app, "viewer/main.js"))
    packed = client.get(address(app, "viewer/main.js"), headers={"Accept-Encoding": "gzip"})

    assert plain.headers["ETag"] != packed.headers["ETag"], "one tag for each representation (RFC 9110 §8.8.3)"
    again = client.get(address(app, "viewer/main.js"), headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize("path", ["/static/viewer/main.js", "/static/app.css", "/static/0123456789ab/viewer/main.js"])
def test_addresses_of_no_or_another_release_answer_and_are_asked_for_again(folder: Path, path: str) -> None:
    """While two releases run side by side, either's pages find their files at either."""
    answer = serving(folder)[1].get(path)

    assert answer.get_data(as_text=True) == (SCRIPT if path.endswith("main.js") else "body { color: black }")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, ASK_AGAIN)


@pytest.mark.parametrize(
    "path",
    [
        "/static/",
        "/static/viewer/",
        "/static/notes.txt",
        "/static/../secret.css",
        "/static/x/../../secret.css",
        "/static/%2e%2e/secret.css",
    ],
)
def test_nothing_else_is_served(folder: Path, path: str) -> None:
    assert serving(folder)[1].get(path).status_code == 404
