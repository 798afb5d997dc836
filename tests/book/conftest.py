"""The built book, parsed once: what each page shows, loads and links to. And a real browser to open it in."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

import pytest

HTML = Path(__file__).parents[2] / "_build" / "html"
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
RAW = {"script", "style"}


@dataclass
class Page:
    """One file of the site."""

    path: Path
    source: str
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)  # <a href>
    images: list[dict[str, str]] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)  # everything that the browser fetches by itself
    scripts: list[str] = field(default_factory=list)  # the text of inline scripts
    styles: list[str] = field(default_factory=list)  # the text of style elements and style attributes
    words: int = 0  # in the article


class Reader(HTMLParser):
    def __init__(self, page: Page):
        super().__init__()
        self.page, self.raw, self.depth = page, "", 0  # depth inside <article>

    def handle_starttag(self, tag, attrs):
        attributes = {key: value or "" for key, value in attrs}
        page = self.page
        if "id" in attributes:
            page.ids.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            page.links.append(attributes["href"])
        if tag == "img":
            page.images.append(attributes)
        if tag == "link" and {"stylesheet", "icon", "preload", "modulepreload"} & set(
            attributes.get("rel", "").split()
        ):
            page.loads.append(attributes.get("href", ""))
        page.loads += [
            attributes[key] for key in ("src", "poster", "data") if tag not in {"a", "div"} and key in attributes
        ]
        # A data: address holds a comma itself, and never one with a space behind it.
        page.loads += [part.split()[0] for part in re.split(r",\s", attributes.get("srcset", "")) if part.strip()]
        if "style" in attributes:
            page.styles.append(attributes["style"])
        if tag in RAW:
            self.raw = tag
        if tag == "article" or (self.depth and tag not in VOID):
            self.depth += 1

    def handle_endtag(self, tag):
        self.raw = ""
        if self.depth and tag not in VOID:
            self.depth -= 1

    def handle_data(self, data):
        if self.raw == "script":
            self.page.scripts.append(data)
        elif self.raw == "style":
            self.page.styles.append(data)
        elif self.depth:
            self.page.words += len(data.split())


def read(path: Path) -> Page:
    page = Page(path, path.read_text("utf-8"))
    Reader(page).feed(page.source)
    return page


@pytest.fixture(scope="session")
def site() -> dict[str, Page]:
    """Every page of the built book, by its path in the site: "1-state-spaces/01-....html"."""
    from make_book import inputs_hash
    from project import ROOT

    stamp = ROOT / "_build" / "inputs.sha256"
    assert stamp.exists(), "the book is not built: make book"
    assert stamp.read_text() == inputs_hash(ROOT), "the built book is older than its sources: make book"
    pages = [
        path for path in sorted(HTML.rglob("*.html")) if "_static" not in path.parts
    ]  # the theme keeps templates there
    return {path.relative_to(HTML).as_posix(): read(path) for path in pages}


class Browser:
    """Chromium with every host name refused, at any width, in either theme; it tells what it had to complain about."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path: Path, *, width=1200, height=900, dark=False, calm=False, scripts=True, media="", fragment=""):
        """Open a file. `calm`: the reader asked for less motion. `media="print"`: as on paper. `fragment`: after the #."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce" if calm else "no-preference"}
        self.command("Emulation.setEmulatedMedia", media=media, features=[scheme, motion])
        self.command("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.resize(width, height)
        self.driver.get("about:blank")
        self.problems()  # forget those of the page before
        self.driver.get(path.resolve().as_uri() + (f"#{fragment}" if fragment else ""))

    def resize(self, width: int, height: int = 900):
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def command(self, name: str, **arguments):
        """A command of the Chrome DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def run(self, script: str, *arguments):
        """Run JavaScript in the page and return its result."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str, seconds: float = 10):
        """Wait until a JavaScript expression is true; return its value."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.03).until(
            lambda driver: driver.execute_script(f"return {script}"), f"never true: {script}"
        )

    def problems(self) -> list[str]:
        """Console errors, and requests for anything that is not in the folder. Each is told once."""
        found = [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                url = message["params"]["request"]["url"]
                if not url.startswith(("file:", "data:", "blob:", "about:")):
                    found.append(f"request for {url[:200]}")
        return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a process. CI fails without it; elsewhere its tests are skipped, with the reason."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver_program = shutil.which("chromedriver")
    if not (program and driver_program):
        reason = "needs Chromium and chromedriver (Debian: apt-get install chromium chromium-driver)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = program
    # No sandbox: Chromium refuses to start as root with one, and containers run as root.
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(flag)
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver_program))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
