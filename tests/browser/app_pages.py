"""Every page of the product, each opened in Chromium as its user comes to it: the app at an EHR that a test may bend.

Images are not part of it: no viewer is installed here, so the frame of the viewer page says so.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from flask import Response, redirect, request
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page

from fhir_imaging import web
from tests.conftest import free_port_number, serving
from tests.contract.smart_actors import (
    PATIENT,
    STUDY_A,
    Clock,
    FakeEhr,
    SmartApp,
    demo_record,
    imaging_study,
    make_app,
    wado_endpoint,
)

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
_KINDS = (
    ("CT", "CT chest", "Chest"),
    ("MR", "MRI brain", "Head"),
    ("DX", "Chest X-ray", "Chest"),
    ("US", "US abdomen", "Abdomen"),
)
LONG_NAME = {"family": "Synthetic-Featherstonehaugh-Cholmondeley", "given": ["Wilhelmina", "Alexandrina", "Theophila"]}


class BrowserEhr(FakeEhr):
    """The scriptable EHR with a sign-in that sends browsers to wherever the app under test is."""

    def _authorize(self) -> Any:
        asked = dict(request.values.items())
        self.authorizations.append(asked)
        code = f"code-{len(self.authorizations)}"
        self.codes[code] = asked
        answer = {"code": code, "state": asked["state"], **self.redirect_changes}
        sent = {name: value for name, value in answer.items() if value}
        return redirect(f"{asked['redirect_uri']}?{urlencode(sent)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedApp:
    """The app on a real socket, and the EHR that launches it."""

    url: str
    ehr: BrowserEhr
    app: SmartApp
    launches: Iterator[int] = field(default_factory=itertools.count)

    @property
    def launch_url(self) -> str:
        """An EHR launch of patient A, a fresh one each time it is asked for, as EHRs make them."""
        return f"{self.url}/launch?{urlencode({'iss': self.ehr.fhir_base, 'launch': f'launch-{next(self.launches)}'})}"


@contextmanager
def served_app(directory: Path, *, settings: dict[str, Any] | None = None, **known_as: Any) -> Iterator[ServedApp]:
    """The app and its EHR until the block ends; ``known_as`` changes what the app's settings say of the EHR."""
    ehr, clock, port = BrowserEhr(fhir=demo_record()), Clock(), free_port_number()
    # id_tokens are dated by the real clock, pages by this one: pictures must not change from day to day.
    clock.moment, ehr.dropped = NOW, {"id_token"}
    url = f"http://localhost:{port}"
    ehr.fhir["Endpoint"] = [wado_endpoint(f"{url}/imaging/sandbox/dicom-web/demo")]
    with ExitStack() as stack:
        ehr.base_url = stack.enter_context(serving(ehr.app(), free_port_number()))
        made = make_app(directory, (ehr.settings(**known_as),), clock, public_base_url=url, **(settings or {}))
        made.flask.add_url_rule("/imaging/<path:image>", view_func=_thumbnail)
        web.install(made.flask, [])
        stack.callback(made.services.store.close)
        stack.callback(made.services.outbound.close)
        stack.enter_context(serving(made.flask, port, host="localhost"))
        yield ServedApp(url=url, ehr=ehr, app=made)


def _thumbnail(image: str) -> Response:
    """Stands in for the imaging server: one small grey picture for every study."""
    stored = io.BytesIO()
    Image.radial_gradient("L").resize((96, 96)).save(stored, "JPEG")
    return Response(stored.getvalue(), mimetype="image/jpeg")


@dataclass  # no slots: Playwright notes its wrappers on the object
class Visit:
    """One browser profile at one page, with what it asked of whom and what went wrong."""

    context: BrowserContext
    page: Page
    asked: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def foreign(self, *own: str) -> list[str]:
        """Addresses beside one's own that were asked; there must be none."""
        return [url for url in self.asked if not url.startswith((*own, "data:", "blob:", "about:"))]


@contextmanager
def a_visit(browser: Browser, **profile: Any) -> Iterator[Visit]:
    """A fresh profile."""
    with browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **profile}) as context:
        context.set_default_timeout(30_000)
        visit = Visit(context, context.new_page())
        context.on("request", lambda sent: visit.asked.append(sent.url))
        visit.page.on("pageerror", lambda error: visit.troubles.append(str(error)))
        yield visit


def a_record(studies: int) -> dict[str, list[dict[str, Any]]]:
    """A record of so many studies over the years, one of them reported."""
    record = demo_record()
    for number in range(1, studies):
        modality, title, site = _KINDS[number % len(_KINDS)]
        record["ImagingStudy"].append(
            imaging_study(
                f"2.25.77{number}",
                study_id=f"study-{number}",
                started=f"{2026 - number // 12}-{1 + number % 12:02}-{1 + number % 28:02}T08:{number % 60:02}:00+07:00",
                modality=[{"system": "http://dicom.nema.org/resources/ontology/DCM", "code": modality}],
                description=title,
                series=[{"uid": f"2.25.77{number}.1", "modality": {"code": modality}, "bodySite": {"display": site}}],
            )
        )
    return record


def _plain(path: str) -> Callable[[ServedApp, Visit], None]:
    def opened(served: ServedApp, visit: Visit) -> None:
        visit.page.goto(served.url + path.replace("{base}", served.ehr.fhir_base))

    return opened


def _declined(served: ServedApp, visit: Visit) -> None:
    said = "You may not pass: <b>no</b> permission"
    served.ehr.redirect_changes = {
        "code": "",
        "error": "access_denied",
        "error_description": said,
        "error_uri": "https://ehr.example/help",
    }
    visit.page.goto(served.launch_url)
    visit.page.locator("details.for-support summary").click()


def _unavailable(served: ServedApp, visit: Visit) -> None:
    served.ehr.fhir_answers = [Response("{}", 500) for _ in range(4)]
    visit.page.goto(served.launch_url)
    visit.page.wait_for_selector("#retry")


def _posted(served: ServedApp, visit: Visit) -> None:
    served.ehr.smart_configuration = {"capabilities": ["launch-ehr", "authorize-post"]}
    visit.page.route("**/authorize.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    visit.page.goto(f"{served.launch_url}{'x' * 1900}")
    visit.page.wait_for_selector("#authorize")


def settle(visit: Visit) -> None:
    """Waits until the page's scripts have done their first work. It may go on asking now and then, so not for silence."""
    visit.page.wait_for_load_state("load")
    visit.page.wait_for_timeout(600)


def launched(served: ServedApp, visit: Visit) -> None:
    """The study list of patient A."""
    visit.page.goto(served.launch_url)
    visit.page.wait_for_url("**/s/*/studies*")
    settle(visit)


def _crowded(served: ServedApp, visit: Visit) -> None:
    patient = {**served.ehr.fhir["Patient"][0], "name": [LONG_NAME]}
    served.ehr.fhir = {**a_record(60), "Patient": [patient], "Endpoint": served.ehr.fhir["Endpoint"]}
    launched(served, visit)
    visit.page.wait_for_selector("li.study >> nth=50", state="attached")


def _empty(served: ServedApp, visit: Visit) -> None:
    served.ehr.fhir["ImagingStudy"].clear()
    launched(served, visit)


def _noted(served: ServedApp, visit: Visit) -> None:
    served.ehr.fhir["ImagingStudy"] += [
        imaging_study("2.25.5", patient="demo-b"),
        {"resourceType": "ImagingStudy", "id": "odd"},
    ]
    served.ehr.fhir["Endpoint"][0]["address"] = "https://elsewhere.example/dicom-web"
    served.ehr.smart_configuration = {"capabilities": ["launch-ehr"]}
    launched(served, visit)


def as_patient(served: ServedApp, visit: Visit) -> None:
    """The list as the patient sees it."""
    now = int(NOW.timestamp())
    served.ehr.dropped = set()
    served.ehr.id_token_changes = {"fhirUser": f"Patient/{PATIENT}", "iat": now, "exp": now + 300}
    launched(served, visit)


def _viewer(served: ServedApp, visit: Visit) -> None:
    launched(served, visit)
    visit.page.goto(f"{visit.page.url.rpartition('/studies')[0]}/viewer/{STUDY_A}")
    visit.page.wait_for_selector("#viewer")
    settle(visit)


def _signed_out(served: ServedApp, visit: Visit) -> None:
    launched(served, visit)
    visit.page.get_by_role("button", name="End session").click()
    visit.page.wait_for_url("**/logout")


def _choice(served: ServedApp, visit: Visit) -> None:
    launched(served, visit)
    launched(served, visit)
    visit.page.goto(f"{served.url}/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}")


def opened_twice(served: ServedApp, visit: Visit) -> None:
    """The question whose session is meant, where the EHR sends the handle of an earlier start once more."""
    address = served.launch_url
    for end in ("**/s/*/studies*", "**/launch/go?*navigation=navigate"):
        visit.page.goto(address)
        visit.page.wait_for_url(end)
        settle(visit)


def _opened_twice_crowded(served: ServedApp, visit: Visit) -> None:
    served.ehr.fhir["Patient"] = [{**served.ehr.fhir["Patient"][0], "name": [LONG_NAME], "deceasedBoolean": True}]
    opened_twice(served, visit)


def _opened_twice_unread(served: ServedApp, visit: Visit) -> None:
    served.ehr.fhir["Patient"].clear()
    opened_twice(served, visit)


def _opened_twice_ended(served: ServedApp, visit: Visit) -> None:
    address = served.launch_url
    visit.page.goto(address)
    visit.page.get_by_role("button", name="End session").click()
    visit.page.wait_for_url("**/logout")
    visit.page.goto(address)


def _opened_twice_waiting(served: ServedApp, visit: Visit) -> None:
    visit.page.route("**/launch-again.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    address = served.launch_url
    visit.page.goto(address)
    visit.page.wait_for_url("**/s/*/studies*")
    visit.page.goto(address)
    visit.page.wait_for_selector("#onward")


APP_PAGES: dict[str, Callable[[ServedApp, Visit], None]] = {
    "index": _plain("/"),
    "open": _plain("/open/sandbox/2.25.1001"),
    "nothing": _plain("/nowhere"),
    "unknown-ehr": _plain("/launch?iss=https://who.example/fhir&launch=x"),
    "new-window": _plain("/launch/go?iss={base}&launch=x"),
    "declined": _declined,
    "unavailable": _unavailable,
    "sign-in-by-post": _posted,
    "opened-twice": opened_twice,
    "opened-twice-crowded": _opened_twice_crowded,
    "opened-twice-unread": _opened_twice_unread,
    "opened-twice-ended": _opened_twice_ended,
    "opened-twice-waiting": _opened_twice_waiting,
    "list": launched,
    "list-crowded": _crowded,
    "list-empty": _empty,
    "list-with-notes": _noted,
    "list-of-the-patient": as_patient,
    "viewer": _viewer,
    "signed-out": _signed_out,
    "display-none-open": _plain(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}"),
    "display-choice": _choice,
    "display-limits": _plain(f"/IHEInvokeImageDisplay?requestType=STUDY&studyUID={STUDY_A}&diagnosticQuality=true"),
}
"""What opens each page of the app, by its name."""
