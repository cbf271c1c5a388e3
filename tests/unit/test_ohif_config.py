"""What one launch's viewer is told and allowed: plain data, strict addresses, a policy without loopholes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from smart_app.ohif import OhifConfig, WadoRoot, app_config_headers, render_app_config, viewer_path
from smart_app.ohif_policy import page_headers, page_policy, worker_policy

CONFIG = OhifConfig(
    session_path="/s/abc",
    token_path="/s/abc/token",
    wado_roots=(
        WadoRoot(name="demo", title="Demo PACS", root="http://localhost:8000/imaging/sandbox/dicom-web/demo"),
        WadoRoot(name="other", title="Other", root="https://pacs.example/dicom-web"),
    ),
    frame_ancestors=("http://127.0.0.1:8001",),
    connect_origins=("https://bulk.example:8443",),
)


def directives(policy: str) -> dict[str, list[str]]:
    return {name: values for name, *values in (part.split() for part in policy.split(";"))}


def settings_in(script: str) -> dict[str, object]:
    assert script.startswith("window.imagingCdsViewer = ")
    parsed: dict[str, object] = json.loads(script.removeprefix("window.imagingCdsViewer = ").rstrip().rstrip(";"))
    return parsed


def test_the_page_runs_only_our_scripts_and_talks_only_to_this_launchs_servers() -> None:
    """Groups 28 and 32."""
    policy = directives(page_policy(CONFIG))

    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == ["'self'", "'wasm-unsafe-eval'"]
    assert policy["connect-src"] == [
        "'self'",
        "http://localhost:8000",
        "https://pacs.example",
        "https://bulk.example:8443",
    ]
    assert policy["frame-ancestors"] == ["'self'", "http://127.0.0.1:8001"]
    assert "'unsafe-eval'" not in page_policy(CONFIG)


def test_only_the_codec_worker_may_build_functions_from_text() -> None:
    assert "'unsafe-eval'" in worker_policy(is_codec_worker=True)
    assert "'unsafe-eval'" not in worker_policy(is_codec_worker=False)
    assert directives(worker_policy(is_codec_worker=True))["connect-src"] == ["'self'"]


def test_the_page_is_neither_stored_nor_named_to_others() -> None:
    headers = page_headers(CONFIG)

    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert app_config_headers()["Cache-Control"] == "no-store"


def test_the_configuration_is_one_assignment_of_plain_data() -> None:
    told = settings_in(render_app_config(CONFIG))

    assert told == {
        "routerBasename": "/s/abc/ohif",
        "tokenPath": "/s/abc/token",
        "newWindowPath": None,
        "showsUnsignedAi": True,
        "wadoRoots": [
            {"name": "demo", "title": "Demo PACS", "root": "http://localhost:8000/imaging/sandbox/dicom-web/demo"},
            {"name": "other", "title": "Other", "root": "https://pacs.example/dicom-web"},
        ],
    }


@pytest.mark.parametrize("title", ["</script><script>alert(1)</script>", "a\u2028b", "<!--", "&amp;", '";x="'])
def test_a_title_cannot_leave_its_string(title: str) -> None:
    """Group 27: injection into the viewer's configuration."""
    root = replace(CONFIG.wado_roots[0], title=title)

    script = render_app_config(replace(CONFIG, wado_roots=(root,)))

    told = settings_in(script)
    assert told["wadoRoots"] == [{"name": "demo", "title": title, "root": root.root}]
    assert not set(script) & set("<>&\u2028\u2029")
    assert script.count("\n") == 1


@pytest.mark.parametrize(
    "root",
    [
        "javascript:alert(1)",
        "ftp://pacs.example/x",
        "//pacs.example/x",
        "https://user@pacs.example/x",
        "https://pacs.example/x/",
        "https://pacs.example/x?token=1",
        "https://pacs.example/x#y",
        "https://pacs.example;script-src *",
        "https://pacs.example/a b",
        "",
    ],
)
def test_a_root_that_is_no_plain_address_is_refused(root: str) -> None:
    """Group 25."""
    with pytest.raises(ValueError, match=r"origin|root"):
        WadoRoot(name="demo", title="Demo", root=root)


@pytest.mark.parametrize("origin", ["https://ehr.example/", "https://ehr.example; script-src *", "*", "null", "https:"])
def test_a_frame_ancestor_that_is_no_origin_is_refused(origin: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        replace(CONFIG, frame_ancestors=(origin,))
    with pytest.raises(ValueError, match="origin"):
        replace(CONFIG, connect_origins=(origin,))


@pytest.mark.parametrize("path", ["//evil.example/x", "s/abc", "/s/a b", '/s/"', "/s/abc/", ""])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="plain absolute path"):
        replace(CONFIG, session_path=path)


def test_a_launch_without_servers_or_with_equal_names_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        replace(CONFIG, wado_roots=())
    with pytest.raises(ValueError, match="same name"):
        replace(CONFIG, wado_roots=(CONFIG.wado_roots[0], CONFIG.wado_roots[0]))
    with pytest.raises(ValueError, match="data source"):
        WadoRoot(name="a/b", title="x", root="https://pacs.example")


def test_the_address_of_a_study_holds_uids_and_nothing_else() -> None:
    assert viewer_path(CONFIG, "1.2.3") == "/s/abc/ohif/viewer?StudyInstanceUIDs=1.2.3"
    assert viewer_path(CONFIG, "1.2.3", source="other", series_instance_uid="1.2.4", sop_instance_uid="1.2.5") == (
        "/s/abc/ohif/viewer/other?StudyInstanceUIDs=1.2.3&initialSeriesInstanceUID=1.2.4&initialSOPInstanceUID=1.2.5"
    )
