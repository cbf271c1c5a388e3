"""Views of arrays without eval (static/viewer/array_views.js): what segmentations are drawn through (DESIGN §5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask, Response
from playwright.sync_api import Browser, Page

from tests.conftest import CHECKOUT, free_port_number, serving

pytest_plugins = ["tests.browser.ohif_fixtures"]
pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

# What the page does by itself: Playwright's own evaluations pass by the policy.
PROBE = """
import { answerArrayViews } from "/static/viewer/array_views.js";
answerArrayViews(window);
const attempt = (make) => { try { make(); return "made"; } catch ({ name }) { return name; } };
const odd = ["return 1", "function View2dint16x(){}", "function ViewAlert(a){}", "x;function View2dint16(a){}"];
const known = "function View2dint16(a,b0,b1,c0,c1,d){this.data=a";
window.tried = [known, ...odd].map((source) => attempt(() => new Function(source)));
window.tried.push(attempt(() => Function("function View2dint16(a){}")));
"""
# Only the head of such a source is looked at; the library's own goes on for pages.
MAKE = """
() => {
  const views = [];
  const numbers = ["a", "b0,c0", "b0,b1,c0,c1", "b0,b1,b2,c0,c1,c2"];
  views.push(new Function("function View_Nilint16(a){this.data=a;};")());
  views.push(new Function("TrivialArray", "function View0dint16(a,d) {this.data = a;")(views[0]));
  for (const count of [1, 2, 3]) {
    const source = `'use strict'\\nfunction View${count}dint16(a,${numbers[count]},d){this.data=a`;
    views.push(new Function("CTOR_LIST", "ORDER", source)(views));
  }
  window.view = (shape, stride, offset = 0, data = Array.from({ length: 24 }, (_, index) => index)) =>
    views[shape.length + 1](data, shape, stride, offset);
  window.content = (view) => {
    const walk = (place) => place.length === view.dimension ? view.get(...place)
      : Array.from({ length: view.shape[place.length] }, (_, index) => walk([...place, index]));
    return walk([]);
  };
}
"""


@pytest.fixture(scope="module")
def strict_page(ohif_browser: Browser) -> Iterator[Page]:
    """A page whose Content-Security-Policy forbids eval, as the viewer's does."""
    app = Flask("strict", static_folder=str(CHECKOUT / "static"))
    policy = {"Content-Security-Policy": "default-src 'self'"}
    html = '<!doctype html><title>Views</title><script type="module" src="/probe.js"></script>'
    app.add_url_rule("/", "page", lambda: Response(html, headers=policy))
    app.add_url_rule("/probe.js", "probe", lambda: Response(PROBE, mimetype="text/javascript"))
    with serving(app, free_port_number()) as base:
        page = ohif_browser.new_page()
        page.goto(base)
        page.wait_for_function("window.tried")
        page.evaluate(MAKE)
        yield page
        page.close()


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("content(view([2, 3], [3, 1]))", [[0, 1, 2], [3, 4, 5]]),
        ("content(view([2, 3], [1, 2], 4))", [[4, 6, 8], [5, 7, 9]]),
        ("content(view([3], [2], 1))", [1, 3, 5]),
        ("content(view([2, 2, 2], [4, 2, 1]))", [[[0, 1], [2, 3]], [[4, 5], [6, 7]]]),
        ("content(view([2, 3], [3, 1]).transpose(1, 0))", [[0, 3], [1, 4], [2, 5]]),
        ("content(view([2, 3], [3, 1]).step(-1, 1))", [[3, 4, 5], [0, 1, 2]]),
        ("content(view([2, 3], [3, 1]).step(1, -2))", [[2, 0], [5, 3]]),
        ("content(view([5], [1]).step(2))", [0, 2, 4]),
        ("content(view([3, 3], [3, 1]).lo(1, 1))", [[4, 5], [7, 8]]),
        ("content(view([3, 3], [3, 1]).hi(2))", [[0, 1, 2], [3, 4, 5]]),
        ("content(view([2, 3], [3, 1]).pick(1))", [3, 4, 5]),
        ("content(view([2, 3], [3, 1]).pick(null, 2))", [2, 5]),
        ("view([2, 3], [3, 1]).pick(1, 2).get()", 5),
        ("+view([2, 3], [3, 1]).pick(1, 2)", 5),
        ("view([2, 3], [3, 1], 1).index(1, 2)", 6),
        ("[view([2, 3], [3, 1]).size, view([], []).size, view([2, 3], [3, 1]).dimension]", [6, 1, 2]),
        ("[view([2, 3], [3, 1]).order, view([2, 3], [1, 2]).order]", [[1, 0], [0, 1]]),
        ("view([2, 2, 2], [1, 4, 2]).order", [0, 2, 1]),
        ("(() => { const one = view([2, 2], [2, 1]); const was = one.set(1, 0, 9); return [was, ...one.data.slice(0, 4)]; })()",
         [9, 0, 1, 9, 3]),
        ("(() => { const one = view([2, 2, 1], [2, 1, 1]); one.set(0, 1, 0, 7); return one.data.slice(0, 3); })()", [0, 7, 2]),
        ("view([2, 2], [2, 1]).dtype", "int16"),
    ],
)  # fmt: skip
def test_a_view_says_where_each_element_lies(strict_page: Page, expression: str, expected: Any) -> None:
    assert strict_page.evaluate(expression) == expected


def test_a_view_of_a_view_writes_into_the_same_data(strict_page: Page) -> None:
    assert strict_page.evaluate(
        """() => { const data = [0, 1, 2, 3]; const one = view([2, 2], [2, 1], 0, data);
        one.step(-1, 1).transpose(1, 0).set(0, 0, 8); return data; }"""
    ) == [0, 1, 8, 3]


def test_any_other_source_is_refused_as_before(strict_page: Page) -> None:
    """Group 31: the policy stands; nothing but the one known kind of source is answered."""
    assert strict_page.evaluate("window.tried") == ["made", *["EvalError"] * 5]
    assert strict_page.evaluate("(() => {}) instanceof Function") is True
