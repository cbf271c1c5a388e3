"""Each page by axe-core's rules for WCAG 2.2 AA, wide and narrow, light and dark; and each asks nothing of strangers.

Spec: smart-launch.md §8 (access). The images themselves (the viewer in its frame) are a work of others and left aside.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser, Page

from cds_service.views import create_blueprint, error_surface
from fhir_imaging import web
from tests.browser.app_pages import APP_PAGES, a_visit, served_app
from tests.cds_actors import a_cds_service, a_store
from tests.chart_actors import ChartActor, a_card, a_chart
from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.chart_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

RULES = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    "resultTypes": ["violations"],
    "iframes": False,
}
LOOKS = [(width, scheme) for width in (1400, 390) for scheme in ("light", "dark")]


def violations(page: Page) -> list[str]:
    """What axe-core finds, a line each."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [f"{one['id']} ({one['impact']}): {node['html'][:160]} {_why(node)}" for one in found for node in one["nodes"]]


def _why(node: dict[str, Any]) -> str:
    return " ".join(check["message"] for kind in ("any", "all") for check in node[kind])[:300]


def judged(page: Page) -> dict[str, list[str]]:
    """The violations in each look of the page."""
    found = {}
    for width, scheme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
        found[f"{width} {scheme}"] = violations(page)
    return {look: lines for look, lines in found.items() if lines}


@pytest.mark.parametrize("name", APP_PAGES)
def test_a_page_of_the_app_is_accessible_and_asks_nothing_of_strangers(
    name: str, tmp_path: Path, chart_browser: Browser
) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        APP_PAGES[name](served, visit)

        assert judged(visit.page) == {}
        assert visit.troubles == []
        assert visit.foreign(served.url, served.ehr.base_url) == []


def test_the_rules_find_what_is_wrong(tmp_path: Path, chart_browser: Browser) -> None:
    with served_app(tmp_path) as served, a_visit(chart_browser) as visit:
        visit.page.goto(served.url)
        visit.page.evaluate(
            "document.querySelector('main').innerHTML += '<p id=pale>pale</p><input>';"
            "document.getElementById('pale').style.color = '#ccc'"
        )

        found = " ".join(violations(visit.page))
        assert "color-contrast" in found
        assert "label" in found


@pytest.fixture(scope="module")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartActor]:
    with a_chart(tmp_path_factory.mktemp("ehr")) as actor:
        actor.cds.response = {"cards": [a_card(), a_card(indicator="critical", summary="Second card")]}
        yield actor


@pytest.mark.parametrize("path", ["/", "/patients/demo-a"])
def test_the_sandbox_chart_is_accessible_and_asks_nothing_of_strangers(
    path: str, chart: ChartActor, chart_browser: Browser
) -> None:
    with a_visit(chart_browser) as visit:
        visit.page.goto(chart.ehr + path)
        visit.page.wait_for_load_state("networkidle")

        assert judged(visit.page) == {}
        assert visit.troubles == []
        assert visit.foreign(chart.ehr) == []


def test_the_documentation_of_the_cds_services_is_accessible(tmp_path: Path, chart_browser: Browser) -> None:
    store = a_store(tmp_path / "state")
    services = a_cds_service(store, tmp_path).services
    app = Flask("pages", template_folder=str(CHECKOUT / "templates"), static_folder=str(CHECKOUT / "static"))
    app.register_blueprint(create_blueprint(services))
    web.install(app, [error_surface(services)])
    with serving(app, free_port_number()) as url, a_visit(chart_browser) as visit:
        visit.page.goto(f"{url}/cds-documentation")

        assert judged(visit.page) == {}
        assert visit.foreign(url) == []
    store.close()
