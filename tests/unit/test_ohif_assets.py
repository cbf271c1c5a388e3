"""The viewer's immutable files over HTTP: only those of the manifest, typed, compressed, cached for ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from fhir_imaging import texts
from smart_app.ohif import OhifConfig, ViewerNotInstalled, WadoRoot, asset_response, prefetch_links, render_shell
from smart_app.ohif_release import PUBLIC_PATH, RELEASE, Asset, ViewerManifest
from tests.conftest import CHECKOUT

FILES = {
    "app.bundle.1.js": b"entry",
    "app.bundle.css": b"style",
    "8097.bundle.js": b"codec",
    "2299.bundle.js": b"worker",
    "codec.wasm": b"\0asm",
    "font.woff2": b"font",
}
GZIPPED = {"app.bundle.1.js": b"entry, compressed"}


@pytest.fixture
def viewer(tmp_path: Path) -> Path:
    root = tmp_path / RELEASE
    root.mkdir()
    for name, content in FILES.items():
        (root / name).write_bytes(content)
    for name, content in GZIPPED.items():
        (root / f"{name}.gz").write_bytes(content)
    assets = {
        name: Asset(sha256=hashlib.sha256(content).hexdigest(), size=len(content), gzipped=name in GZIPPED)
        for name, content in FILES.items()
    }
    manifest = ViewerManifest(
        release=RELEASE,
        entry_script="app.bundle.1.js",
        entry_style="app.bundle.css",
        codec_worker="8097.bundle.js",
        workers=("2299.bundle.js", "8097.bundle.js"),
        first_image=("app.bundle.1.js", "font.woff2"),
        assets=assets,
    )
    (root / "manifest.json").write_text(manifest.to_json())
    (root / "secret.txt").write_text("not in the manifest")
    return tmp_path


@pytest.fixture
def client(viewer: Path) -> FlaskClient:
    app = Flask("assets")
    app.get("/ohif/<path:path>")(lambda path: asset_response(viewer, path))
    return app.test_client()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("app.bundle.1.js", "text/javascript; charset=utf-8"),
        ("app.bundle.css", "text/css; charset=utf-8"),
        ("codec.wasm", "application/wasm"),
        ("font.woff2", "font/woff2"),
    ],
)
def test_a_file_has_its_media_type_and_is_immutable(client: FlaskClient, name: str, media_type: str) -> None:
    answer = client.get(PUBLIC_PATH + name)

    assert answer.status_code == 200
    assert answer.data == FILES[name]
    assert answer.headers["Content-Type"] == media_type
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_the_compressed_twin_goes_to_whoever_takes_it(client: FlaskClient) -> None:
    packed = client.get(PUBLIC_PATH + "app.bundle.1.js", headers={"Accept-Encoding": "br, gzip"})
    plain = client.get(PUBLIC_PATH + "app.bundle.1.js", headers={"Accept-Encoding": "gzip;q=0"})

    assert (packed.headers["Content-Encoding"], packed.data) == ("gzip", GZIPPED["app.bundle.1.js"])
    assert packed.headers["Content-Length"] == str(len(GZIPPED["app.bundle.1.js"]))
    assert ("Content-Encoding" in plain.headers, plain.data) == (False, FILES["app.bundle.1.js"])
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["ETag"] != plain.headers["ETag"]


def test_an_unchanged_file_is_not_sent_again(client: FlaskClient) -> None:
    first = client.get(PUBLIC_PATH + "codec.wasm")

    again = client.get(PUBLIC_PATH + "codec.wasm", headers={"If-None-Match": first.headers["ETag"]})

    assert (again.status_code, again.data) == (304, b"")


def test_eval_is_allowed_in_the_codec_worker_alone(client: FlaskClient) -> None:
    codec = client.get(PUBLIC_PATH + "8097.bundle.js").headers["Content-Security-Policy"]
    worker = client.get(PUBLIC_PATH + "2299.bundle.js").headers["Content-Security-Policy"]

    assert "'unsafe-eval'" in codec
    assert "'unsafe-eval'" not in worker
    assert "Content-Security-Policy" not in client.get(PUBLIC_PATH + "app.bundle.1.js").headers


@pytest.mark.parametrize(
    "path",
    [
        f"{RELEASE}/secret.txt",
        f"{RELEASE}/manifest.json",
        f"{RELEASE}/app.bundle.1.js.gz",
        f"{RELEASE}/../{RELEASE}/codec.wasm",
        f"{RELEASE}/%2e%2e/x",
        "codec.wasm",
        "3.0.0-r1/codec.wasm",
        f"{RELEASE}//etc/passwd",
    ],
)
def test_what_the_manifest_does_not_list_is_not_there(client: FlaskClient, path: str) -> None:
    """Group 13: no way out of the viewer's directory."""
    assert client.get(f"/ohif/{path}").status_code == 404


def test_the_shell_names_the_installed_files_and_nothing_of_the_patient(viewer: Path) -> None:
    config = OhifConfig(
        session_path="/s/abc",
        token_path="/s/abc/token",
        wado_roots=(WadoRoot(name="demo", title="Demo", root="https://pacs.example/dicom-web"),),
    )
    app = Flask("shell", template_folder=str(CHECKOUT / "templates"))
    texts.install(app.jinja_env)

    with app.app_context():
        page = render_shell(viewer, config)

    assert f'<script defer src="{PUBLIC_PATH}app.bundle.1.js"></script>' in page.html
    assert '<script src="/s/abc/ohif/app-config.js"></script>' in page.html
    assert "pacs.example" not in page.html
    assert "<script>" not in page.html, "no inline script, so the policy needs no hashes"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_prefetch_names_what_the_first_image_waits_for(viewer: Path) -> None:
    assert prefetch_links(viewer) == [f"{PUBLIC_PATH}app.bundle.1.js", f"{PUBLIC_PATH}font.woff2"]


def test_without_a_viewer_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ViewerNotInstalled, match="imaging-cds viewer"):
        prefetch_links(tmp_path)


def test_a_viewer_of_another_release_is_not_served(viewer: Path) -> None:
    manifest = viewer / RELEASE / "manifest.json"
    manifest.write_text(manifest.read_text().replace(RELEASE, "3.0.0-r1"))

    with pytest.raises(ViewerNotInstalled, match=r"3\.0\.0-r1"):
        prefetch_links(viewer)
