"""What the gateway is measured against: nginx that hands on an archive's answers, alone and asking a trivial endpoint first."""

from __future__ import annotations

import os
import shutil
import subprocess
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path
from string import Template

import pytest

from imaging_cds.processes import ProcessSpec, python_command
from tests.interop.orthanc_process import USER, Orthanc

HINT = "nginx is not installed. On Debian: apt-get install nginx-light libnginx-mod-http-set-misc"
STATIC_SIZES = (128, 512)
"""kB of the files that show how fast the load generator itself can be."""

# The same workers, buffers and log as the configuration that `imaging-cds nginx` writes, so that nothing but the way differs.
_PLAIN = Template("""\
daemon off;
user $user;  # its files are this user's alone; where that is not root, this changes nothing
worker_processes 2;
pcre_jit on;
pid $home/nginx.pid;
error_log $home/error.log warn;
events { worker_connections 512; }
http {
    access_log $home/access.log combined;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000;
    proxy_http_version 1.1;
    proxy_buffer_size 16k;
    proxy_buffers 16 64k;
    proxy_busy_buffers_size 512k;
    postpone_output 256k;
    proxy_max_temp_file_size 0;
    upstream archive { server 127.0.0.1:$archive; keepalive 32; }
    upstream trivial { server 127.0.0.1:$trivial; keepalive 32; }
    upstream trivial_here { server 127.0.0.1:$trivial_here; keepalive 32; }
    upstream bare { server 127.0.0.1:$bare; keepalive 32; }
    upstream yes { server 127.0.0.1:$yes; keepalive 32; }
    map $$server_port $$asked { $asking trivial; $asking_here trivial_here; $asking_bare bare; $asking_nginx yes; }
    server {
        listen 127.0.0.1:$plain;
        location = / { return 204; }
        location /static/ { root $home; }
        location /dicom-web/ {
            proxy_set_header Connection "";
            proxy_set_header Authorization "Basic $credential";
            proxy_pass http://archive;
        }
    }
    server {
        listen 127.0.0.1:$asking;
        listen 127.0.0.1:$asking_here;
        listen 127.0.0.1:$asking_bare;
        listen 127.0.0.1:$asking_nginx;
        location = / { return 204; }
        location = /decision {
            internal;
            proxy_pass http://$$asked/decision;
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
        }
        location /dicom-web/ {
            auth_request /decision;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Basic $credential";
            proxy_pass http://archive;
        }
    }
}
""")

# Nobody can be asked faster: a program in C, on a connection that is kept, that looks at nothing.
_YES = Template("""\
daemon off;
user $user;
worker_processes 2;
pid $home/nginx.pid;
error_log $home/error.log warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    tcp_nodelay on;
    keepalive_requests 1000000;
    server {
        listen 127.0.0.1:$yes;
        location / { return 204; }
    }
}
""")


@dataclass(frozen=True, slots=True)
class NginxPorts:
    """What nginx asks (``archive``, ``trivial``, the same on our own server, ``bare``, another nginx: ``yes``), and where each
    listens."""

    archive: int
    trivial: int
    trivial_here: int
    bare: int
    yes: int
    plain: int
    asking: int
    asking_here: int
    asking_bare: int
    asking_nginx: int
    accel: int
    kept: int


def generated_nginx(title: str, mode: str, port: int, home: Path, environment: Mapping[str, str]) -> ProcessSpec:
    """nginx as ``imaging-cds nginx`` sets it up for the application whose settings ``environment`` names."""
    if not Path("/usr/lib/nginx/modules/ngx_http_set_misc_module.so").exists():
        pytest.skip(HINT)
    user = ("--user", getuser()) if os.geteuid() == 0 else ()
    told = ("--mode", mode, "--listen", f"127.0.0.1:{port}", "--out", str(home), *user)
    subprocess.run(python_command("nginx", *told), env={**os.environ, **environment}, check=True, capture_output=True)
    return nginx_spec(title, home / "nginx.conf", f"http://127.0.0.1:{port}/readyz", "-g", "daemon off;")


def nginx_program() -> str:
    """Debian's nginx; skips where there is none."""
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip(HINT)
    return program


def plain_nginx(home: Path, orthanc: Orthanc, ports: NginxPorts) -> ProcessSpec:
    """One nginx for the static files, the plain proxy and the one that asks."""
    (home / "static").mkdir(parents=True)
    for size in STATIC_SIZES:
        (home / "static" / f"{size}").write_bytes(bytes(size * 1024))
    written = _PLAIN.substitute(
        home=home,
        user=getuser(),
        archive=ports.archive,
        trivial=ports.trivial,
        trivial_here=ports.trivial_here,
        bare=ports.bare,
        yes=ports.yes,
        plain=ports.plain,
        asking=ports.asking,
        asking_here=ports.asking_here,
        asking_bare=ports.asking_bare,
        asking_nginx=ports.asking_nginx,
        credential=credential(orthanc),
    )
    return _written("plain nginx", home, written, f"http://127.0.0.1:{ports.plain}/")


def nginx_that_says_yes(home: Path, port: int) -> ProcessSpec:
    """Another one, which lets everything through."""
    home.mkdir()
    return _written(
        "nginx that says yes", home, _YES.substitute(home=home, user=getuser(), yes=port), f"http://127.0.0.1:{port}/"
    )


def _written(title: str, home: Path, configuration: str, ready_url: str) -> ProcessSpec:
    file = home / "nginx.conf"
    file.touch(mode=0o600)
    file.write_text(configuration)
    return nginx_spec(title, file, ready_url)


def nginx_spec(title: str, configuration: Path, ready_url: str, *further: str) -> ProcessSpec:
    """An nginx of its own with one configuration."""
    home = configuration.parent
    return ProcessSpec(
        title=title,
        command=[nginx_program(), "-p", f"{home}/", "-c", str(configuration), "-e", str(home / "error.log"), *further],
        ready_url=ready_url,
        log_file=home / "out.log",
    )


def credential(orthanc: Orthanc) -> str:
    """The archive's, as Basic has it."""
    return b64encode(f"{USER}:{orthanc.password}".encode()).decode()
