"""The whole demo as its users start it, and a clinician in Chromium whose traffic is recorded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, Request, Response

from tests.conftest import CHECKOUT, free_port_number
from tests.interop.outsiders import UP

START_TIMEOUT_S = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A running demo."""

    app_url: str
    ehr_url: str
    pacs_url: str
    directory: Path

    def command(self, *arguments: str) -> str:
        """What an ``imaging-cds`` command prints for this demo."""
        completed = subprocess.run(
            [sys.executable, "-m", "imaging_cds", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=60
        )
        assert completed.returncode == 0, completed.stderr
        return completed.stdout

    def token(self, patient: str | None, *more: str) -> str:
        """An access token of the sandbox, by the command that developers use."""
        ports = ("--directory", str(self.directory), "--port", _port(self.app_url), "--ehr-port", _port(self.ehr_url))
        in_context = ("--patient", patient) if patient else ()
        return self.command("token", *ports, *in_context, *more).strip()

    def audit(self, *more: str) -> str:
        """The audit trail as JSON lines."""
        return self.command("audit", "--config", str(self.directory / "app.toml"), "--json", *more)

    def everything_written(self) -> bytes:
        """Every log line and state file of the application, for looking for what must not be there."""
        roots = (self.directory / "logs", self.directory / "app")
        return b"".join(path.read_bytes() for root in roots for path in root.rglob("*") if path.is_file())


@contextmanager
def running_demo(directory: Path, viewer_dir: Path, *more: str, environment: Mapping[str, str] | None = None) -> Iterator[Demo]:
    """``imaging-cds demo`` on free ports until the block ends; then it must stop cleanly on Ctrl-C."""
    app, ehr, pacs = (str(free_port_number()) for _ in range(3))
    demo = Demo(
        app_url=f"http://localhost:{app}",
        ehr_url=f"http://127.0.0.1:{ehr}",
        pacs_url=f"http://127.0.0.1:{pacs}/dicom-web",
        directory=directory,
    )
    command = ["demo", "--directory", str(directory), "--viewer-dir", str(viewer_dir)]
    ports = ["--port", app, "--ehr-port", ehr, "--pacs-port", pacs]
    told = directory.parent / f"{directory.name}.out"
    with told.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "imaging_cds", *command, *ports, *more],
            cwd=CHECKOUT,
            stdout=output,
            stderr=output,
            env={**os.environ, **(environment or {})},
        )
        try:
            _wait_until_up(process, told)
            yield demo
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(30)
    assert code == 0, f"the demo did not stop cleanly: {code}"


def _wait_until_up(process: subprocess.Popen[bytes], told: Path) -> None:
    """Until it says where to click: that its servers answer is not enough, its studies are still to come from the archive."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while UP not in told.read_text():
        assert process.poll() is None, f"the demo ended: {told.read_text()}"
        assert time.monotonic() < deadline, "the demo did not come up"
        time.sleep(0.1)


def _port(url: str) -> str:
    return url.rpartition(":")[2]


@dataclass  # no slots: Playwright notes its wrappers on the object
class Wire:
    """What one browser context sent and received."""

    demo: Demo
    requests: list[Request] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    console: list[str] = field(default_factory=list)

    def watch(self, context: BrowserContext) -> None:
        """Starts recording."""
        context.on("request", lambda sent: self.requests.append(sent))
        context.on("response", self._note_token)
        context.on("console", lambda message: self.console.append(message.text))

    def _note_token(self, response: Response) -> None:
        if response.request.method == "POST" and response.url.endswith("/token") and response.status == 200:
            self.tokens.append(response.json()["access_token"])

    def dicomweb(self) -> list[Request]:
        """Requests to the gateway, preflights left out."""
        return [one for one in self.requests if "/dicom-web/" in one.url and one.method != "OPTIONS"]

    def foreign(self) -> list[str]:
        """URLs of other hosts than the demo's own; there must be none."""
        own = (self.demo.app_url, self.demo.ehr_url, "data:", "blob:", "about:")
        return [one.url for one in self.requests if not one.url.startswith(own)]

    def assert_the_token_was_kept_safe(self, pages: list[Page]) -> None:
        """Every DICOMweb request carried a token of the launch; no URL, page source or file of the server holds one."""
        assert self.tokens, "the viewer never asked for a token"
        sent = [one.header_value("authorization") for one in self.dicomweb()]
        assert sent
        assert set(sent) <= {f"Bearer {token}" for token in self.tokens}
        assert self.foreign() == []
        sources = [frame.content() for page in pages for frame in page.frames if not frame.is_detached()]
        written = self.demo.everything_written()
        assert b"/s/<session_id>/token" in written, "the log was looked at while it was being written"
        for token in self.tokens:
            assert not any(token in one.url for one in self.requests)
            assert not any(token in source for source in sources)
            assert token.encode() not in written
            # the signature alone would be enough to spot a token that was cut or wrapped
            assert token.rpartition(".")[2].encode() not in written


@contextmanager
def clinician(browser: Browser, demo: Demo, width: int = 1400) -> Iterator[tuple[BrowserContext, Wire]]:
    """A fresh browser profile, whose windows are ``width`` pixels wide from their beginning, with a record of its traffic."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    context.set_default_timeout(60_000)
    wire = Wire(demo)
    wire.watch(context)
    try:
        yield context, wire
    finally:
        context.close()


def open_chart(page: Page, demo: Demo, name: str) -> None:
    """The chart of the patient with that given name, with its guidance."""
    page.goto(f"{demo.ehr_url}/")
    page.get_by_role("link", name=name).click()
    page.wait_for_selector("#guidance[aria-busy=false]")


def opened_app(context: BrowserContext, demo: Demo, name: str = "Alma") -> Page:
    """The patient's study list in a window of its own, as the chart (the context's page before it) opens it."""
    chart = context.new_page()
    open_chart(chart, demo, name)
    chart.get_by_role("radio", name="New window").check()
    with context.expect_page() as opened:
        chart.locator("#open-app", has_text="Open imaging app").click()
    opened.value.wait_for_url("**/s/*/studies")
    return opened.value
