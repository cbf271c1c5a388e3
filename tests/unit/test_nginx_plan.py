"""Which configurations of nginx are written, and which are refused in words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fhir_imaging.errors import ConfigurationError
from imaging_cds.nginx_files import NginxFiles, files_of, write
from imaging_cds.nginx_plan import Mode, NginxOptions, NginxPlan, plan_of
from imaging_cds.settings import from_table

KEY = "k3y-of-the-handover-" * 3
PASSWORD = 'pa$$w"or\\d'
GOOD_PACS = {
    "name": "main-one",
    "dicomweb_root": "https://pacs.hospital.example:8443/archive/dicom-web",
    "hand_over": "frames",
    "keeps_hierarchy": True,
}


def planned(
    mode: Mode = Mode.ACCEL, *, pacs: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **options: Any
) -> NginxPlan:
    gateway = {"handed_decision_s": 10, "pacs_by_ehr": {"north": ["main-one"], "south": []}}
    table = {
        "public_base_url": "https://images.hospital.example",
        "state": {"state_dir": "state"},
        "imaging_server": gateway,
        "ehr": [{"name": name, "fhir_base": f"https://{name}.example/fhir"} for name in ("north", "south")],
        "pacs": [{**GOOD_PACS, **(pacs or {})}],
        **(top or {}),
    }
    return plan_of(from_table(table), NginxOptions(mode=mode, **options))


def printed(mode: Mode = Mode.ACCEL, **more: Any) -> NginxFiles:
    return files_of(planned(mode, **more), KEY)


def everything(mode: Mode = Mode.ACCEL, **more: Any) -> str:
    """All that anybody may read."""
    return "\n".join(printed(mode, **more).public.values())


def problems(mode: Mode = Mode.ACCEL, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        planned(mode, **more)
    return "\n".join(refused.value.problems)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"listen": "8080; include /etc/passwd"}, "--listen"),
        ({"apps": ("unix:/run/x",)}, "--app"),
        ({"apps": ("10.0.0.1:8000", "10.0.0.1:8000")}, "each server is named once"),
        ({"certificate": Path("a.pem")}, "belong together"),
        ({"decisions": Path("a b;")}, "cannot stand in nginx's configuration"),
        ({"user": "www data;"}, "--user"),
        ({"pacs": {"certificate_authority": "/etc/site keys/ca.pem"}}, "cannot stand in nginx's configuration"),
        ({"top": {"imaging_server": {"allowed_origins": ["https://" + 130 * "abc." + "example"]}}}, "longer than nginx can"),
        ({"pacs": {"dicomweb_root": 'https://pacs.example/a"b;'}}, "path of dicomweb_root"),
        ({"pacs": {"dicomweb_root": "https://192.0.2.7/dicom-web"}}, "not by IP addresses"),
        ({"pacs": {"dicomweb_root": "https://[2001:db8::7]/dicom-web"}}, "not by IP addresses"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(more: dict[str, Any], said: str) -> None:
    assert said in problems(**more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"pacs": {"keeps_hierarchy": False}}, "keeps_hierarchy"),
        ({"pacs": {"bearer_token": 4100 * "t"}}, "longer than nginx can"),
        ({"pacs": {"headers": {"X-Key": 250 * "$"}}}, "longer than nginx can"),
        ({"top": {"imaging_server": {}}}, "handed_decision_s"),
        (
            {"pacs": {"token_url": "https://login.example/token", "client_id": "c", "client_secret": "s"}},
            "its credential changes",
        ),
    ],
)
def test_what_nginx_may_not_keep_is_refused_and_yet_may_be_told_each_time(more: dict[str, Any], said: str) -> None:
    """Group 10: without an archive that checks its own hierarchy, a kept decision would open other instances."""
    assert said in problems(Mode.AUTH_REQUEST, **more)
    assert planned(Mode.ACCEL, **more).archives


NOTHING_HANDED = [{"pacs": {"hand_over": "off"}}, {"top": {"imaging_server": {}, "pacs": []}}]


@pytest.mark.parametrize("more", NOTHING_HANDED, ids=["off", "no-archive"])
def test_nginx_passes_everything_on_where_no_archive_is_handed_over(more: dict[str, Any]) -> None:
    apps = ("127.0.0.1:8001", "127.0.0.1:8002")

    files = printed(apps=apps, certificate=Path("/etc/ssl/a.pem"), key=Path("/etc/ssl/a.key"), **more)

    http, onward = files.public["imaging-cds.conf"], files.public["imaging-cds-application.conf"]
    assert files.secrets == ""
    assert set(files.public) == {"nginx.conf", "imaging-cds.conf", "imaging-cds-application.conf", "imaging-cds-answer.conf"}
    for line in ("ssl_certificate /etc/ssl/a.pem;", "limit_conn imaging_addresses", "client_max_body_size", *apps):
        assert line in http
    for line in ("X-Forwarded-For $remote_addr;", 'traceparent "";', "proxy_request_buffering on;", "proxy_buffering on;"):
        assert line in onward
    assert not re.search("imaging_archive|imaging_handover_key|imaging_told|secrets|--mode", http + files.public["nginx.conf"])


@pytest.mark.parametrize("more", NOTHING_HANDED, ids=["off", "no-archive"])
def test_there_is_no_decision_to_keep_where_no_archive_is_handed_over(more: dict[str, Any]) -> None:
    assert "no archive is handed over" in problems(Mode.AUTH_REQUEST, **more)


def test_a_secret_that_is_needed_no_more_goes(tmp_path: Path) -> None:
    write(printed(), tmp_path / "nginx")
    assert (tmp_path / "nginx" / "imaging-cds-secrets.conf").exists()

    write(printed(pacs={"hand_over": "off"}), tmp_path / "nginx")

    assert not (tmp_path / "nginx" / "imaging-cds-secrets.conf").exists()


def test_secrets_stand_in_their_own_file_alone() -> None:
    pacs = {"user": "gateway", "password": PASSWORD, "headers": {"X-Tenant": "t$n"}}

    kept, told = printed(Mode.AUTH_REQUEST, pacs=pacs), printed(Mode.ACCEL, pacs=pacs)

    assert KEY in kept.secrets
    assert "Basic " in kept.secrets
    assert "t${imaging_dollar}n" in kept.secrets
    # The application tells each credential: none stands in a file.
    assert KEY in told.secrets
    assert "Basic " not in told.secrets
    for text in (*kept.public.values(), *told.public.values(), repr(kept), repr(planned(Mode.AUTH_REQUEST, pacs=pacs))):
        assert not re.search(r"k3y-of|Basic |t\$n|pa\$", text)


def test_only_ehrs_that_may_reach_the_archive_stand_in_its_addresses() -> None:
    http = everything()

    assert "(?P<handed_ehr>north)/dicom-web/main-one" in http


def test_archives_over_https_are_checked_by_their_name() -> None:
    http = everything(pacs={"certificate_authority": "site-ca.pem"})

    for line in (
        "proxy_ssl_verify on;",
        "proxy_ssl_server_name on;",
        "proxy_ssl_name pacs.hospital.example;",
        "proxy_ssl_trusted_certificate site-ca.pem;",
        "server pacs.hospital.example:8443 max_conns=32 max_fails=0;",
        "proxy_next_upstream error;",
    ):
        assert line in http
    assert "proxy_ssl_verify off" not in http


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({}, 130),
        ({"pacs": {"read_timeout_s": 300.0, "connect_timeout_s": 2.5}}, 333),
        ({"top": {"server": {"timeout_s": 400}}}, 410),
    ],
)
def test_nginx_waits_for_the_application_longer_than_it_for_archives(more: dict[str, Any], seconds: int) -> None:
    """Else callers of a slow archive got nginx's own refusal, while the application went on."""
    assert f"proxy_read_timeout {seconds}s;" in printed(**more).public["imaging-cds-application.conf"]


def test_connections_to_the_application_end_at_nginx_first() -> None:
    """The application keeps an idle one for 30 s (gunicorn's keepalive)."""
    _, _, upstream = everything().partition("upstream imaging_application {")

    assert "keepalive_timeout 20s;" in upstream.partition("}")[0]


def test_certificate_makes_it_a_tls_server() -> None:
    http = everything(certificate=Path("/etc/ssl/a.pem"), key=Path("/etc/ssl/a.key"), listen="443")

    assert "listen 443 ssl http2;" in http
    assert "ssl_certificate /etc/ssl/a.pem;" in http


def test_files_are_written_for_their_reader_alone(tmp_path: Path) -> None:
    out = tmp_path / "nginx"

    write(printed(Mode.AUTH_REQUEST), out)
    write(printed(Mode.ACCEL), out)

    modes = {path.name: path.stat().st_mode & 0o777 for path in out.iterdir()}
    assert modes.pop("imaging-cds-secrets.conf") == 0o600
    assert set(modes.values()) == {0o644}
    assert {"nginx.conf", "imaging-cds.conf", "imaging-cds-archive-main-one.conf"} <= modes.keys()
    assert out.stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize(
    ("limit", "written"),
    [
        ({}, "rate=500r/s"),
        ({"requests_per_second": 2.5}, "rate=150r/m"),
        ({"requests_per_second": 0}, None),
    ],
)
def test_rate_of_kept_decisions_is_the_configured_one(limit: dict[str, Any], written: str | None) -> None:
    """In this mode the application does not see each frame, so nginx counts (group 23)."""
    http = everything(Mode.AUTH_REQUEST, top={"imaging_server": {"handed_decision_s": 10, "rate_limit": limit}})

    assert ("limit_req " in http) is (written is not None)
    assert written is None or written in http


def test_kept_decisions_are_taken_off_the_applications_own_time() -> None:
    """A revocation is noticed within decision_cache_s, whoever keeps the decision."""
    settings = planned().settings.imaging_server

    kept_s = (settings.kept_here().decision_cache_s, settings.pass_s, settings.handed_decision_s)
    assert min(kept_s) > 0
    assert sum(kept_s) == pytest.approx(settings.decision_cache_s)


@pytest.mark.parametrize("seconds", [-1, 0.5, 30, 60])
def test_part_that_is_no_part_is_refused(seconds: float) -> None:
    from imaging_server.settings import ImagingServerSettings, check_settings

    with pytest.raises(ConfigurationError, match="handed_decision_s"):
        check_settings(ImagingServerSettings(public_base_url="https://x.example", handed_decision_s=seconds), (), ())


def test_no_caller_names_a_certificate_himself() -> None:
    """The CDS service believes the proxy's header: a caller's own is emptied (group 20)."""
    header = {"certificate_header": "X-Client-Cert", "certificate_proxies": ["127.0.0.1/32"]}

    assert 'proxy_set_header X-Client-Cert "";' in everything(top={"cds": header})
    assert "X-Client-Cert" not in everything()


def test_whole_objects_are_counted_for_each_archive_by_itself() -> None:
    """Each has a limit of its own, which one token has at each of them."""
    http = everything(Mode.AUTH_REQUEST, pacs={"hand_over": "retrievals"})

    assert 'limit_conn_zone "$imaging_caller $imaging_pacs" zone=imaging_downloads:10m;' in http
    (pattern,) = re.findall(r'"~(\^/imaging/[^"]*imaging_named_pacs[^"]*)"', http)
    named = re.match(pattern, "/imaging/north/dicom-web/main-one/studies/1.2.3")
    assert named is not None
    assert named["imaging_named_pacs"] == "main-one"
