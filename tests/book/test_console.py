"""Every page in a real browser, from file://, with the network refused: two widths, two themes, no error, nothing from outside."""

import pytest

pytestmark = [pytest.mark.book, pytest.mark.browser]

WIDTHS = {"wide": 1200, "phone": 390}

# True once MathJax has set the equations; a page without any does not load it.
READY = """(() => {
  if (!window.MathJax) return true;
  if (!MathJax.startup || !MathJax.startup.promise) return false;
  if (!window.equations) {
    window.equations = "waiting";
    MathJax.startup.promise.then(() => { window.equations = "set"; });
  }
  return window.equations === "set";
})()"""
STATE = """return {
  theme: document.documentElement.dataset.theme,
  wide: document.documentElement.scrollWidth,
  equations: document.querySelectorAll("div.math").length,
  typeset: document.querySelectorAll("div.math mjx-container").length,
  failed: document.querySelectorAll("mjx-merror").length,
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page(browser, site, width, theme):
    wrong = []
    for name, page in site.items():
        if name == "index.html":  # it only leads on to the first page
            continue
        browser.open(page.path, width=WIDTHS[width], dark=theme == "dark")
        browser.wait(READY, 30)
        state = browser.run(STATE)
        checks = {
            "complains": browser.problems(),
            "is in another theme": [] if state["theme"] == theme else [state["theme"]],
            "is wider than the screen": [] if state["wide"] <= WIDTHS[width] else [state["wide"]],
            "leaves equations as TeX": [] if state["typeset"] >= state["equations"] else [state],
            "has TeX that MathJax refuses": [] if not state["failed"] else [state["failed"]],
        }
        wrong += [(name, what, found) for what, found in checks.items() if found]
    assert wrong == []


def test_the_first_page_opens(browser, site):
    browser.open(site["index.html"].path)
    browser.wait("location.pathname.endsWith('/intro.html')")
    assert browser.problems() == []


def test_an_error_would_be_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text("<script src='https://cdn.example/x.js'></script><script>nothing()</script>")
    browser.open(page)
    problems = browser.problems()
    assert any("nothing is not defined" in problem for problem in problems)
    assert "request for https://cdn.example/x.js" in problems
