"""Every page in a real browser, from file://, with the network refused: two widths, two themes, no error, nothing from outside."""

import json

import pytest

pytestmark = [pytest.mark.book, pytest.mark.browser]

LOCAL = ("file:", "data:", "blob:", "about:")
WIDTHS = {"wide": 1200, "phone": 390}

# What the page shows once MathJax and the theme are done.
READY = """
const done = arguments[arguments.length - 1];
const math = window.MathJax && MathJax.startup ? MathJax.startup.promise : Promise.resolve();
math.then(() => requestAnimationFrame(() => done({
  theme: document.documentElement.dataset.theme,
  wide: document.documentElement.scrollWidth,
  equations: document.querySelectorAll("div.math").length,
  typeset: document.querySelectorAll("div.math mjx-container").length,
  failed: document.querySelectorAll("mjx-merror").length,
})));
"""


def open_page(browser, path, width: int, theme: str) -> dict:
    """Open one page at a width and in a theme, as a reader who chose it."""
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    chosen = f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}');"
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": chosen})
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forget the previous page
    browser.get(path.as_uri())
    browser.set_script_timeout(60)
    state = browser.execute_async_script(READY)
    browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", {"identifier": added["identifier"]})
    return state


def requests(browser) -> list[str]:
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page(browser, site, width, theme):
    wrong = []
    for name, page in site.items():
        if name == "index.html":  # it only leads on to the first page
            continue
        state = open_page(browser, page.path, WIDTHS[width], theme)
        outside = [url for url in requests(browser) if not url.startswith(LOCAL)]
        errors = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        checks = {
            "asks the network": outside,
            "logs an error": errors,
            "is in another theme": [] if state["theme"] == theme else [state["theme"]],
            "is wider than the screen": [] if state["wide"] <= WIDTHS[width] else [state["wide"]],
            "leaves equations as TeX": [] if state["typeset"] >= state["equations"] else [state],
            "has TeX that MathJax refuses": [] if not state["failed"] else [state["failed"]],
        }
        wrong += [(name, what, found) for what, found in checks.items() if found]
    assert wrong == []


def test_the_first_page_opens(browser, site):
    browser.get(site["index.html"].path.as_uri())
    browser.set_script_timeout(60)
    browser.execute_async_script(READY)
    assert browser.current_url.endswith("/intro.html")


def test_an_error_would_be_seen(browser, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<html><body><script src='https://cdn.example/x.js'></script><script>nothing()</script></body></html>"
    )
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page.as_uri())
    assert any("nothing is not defined" in entry["message"] for entry in browser.get_log("browser"))
    assert "https://cdn.example/x.js" in requests(browser)
