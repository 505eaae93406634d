"""The page in headless Chromium (Debian's `chromium`): what it loads, what it says on the console, how it fits."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_results import CODES, HOSTILE, entry, with_space

from clear_bench.render.page import page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH: on Debian, apt-get install chromium"),
]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)


class Browser:
    """Chromium over its debugging pipe: one command at a time, every event kept."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self.ours_out = os.pipe()
        self.ours_in, theirs_out = os.pipe()
        redirect = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            ["bash", "-c", redirect, "bash", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest = b""
        self.count = 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> Any:
        """Send one command and wait for its answer."""
        self.count += 1
        message: dict[str, Any] = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.ours_out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self.count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method: str) -> None:
        """Read events until one of this kind has come."""
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """Run an expression in the page; the debugger is not bound by the page's policy."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def open(self, path: Path, width: int, *, dark: bool = False, script: bool = True) -> None:
        """Open a file in a fresh tab of this width."""
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")

    def named(self, method: str) -> list[dict[str, Any]]:
        """Give what came with the events of a kind."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def screenshot(self, path: Path) -> tuple[int, int]:
        """Save the whole page as PNG and give its size."""
        data = base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
        path.write_bytes(data)
        return struct.unpack(">II", data[16:24])  # type: ignore[return-value]

    def close(self) -> None:
        """End the browser."""
        self.session = None
        self.call("Browser.close")
        self.process.wait(timeout=20)
        os.close(self.ours_out)
        os.close(self.ours_in)

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self.rest:
            piece = os.read(self.ours_in, 1 << 16)
            assert piece, "chromium ended early"
            self.rest += piece
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page of 144 pairs with gains and a name that attacks."""
    folder = tmp_path_factory.mktemp("page")
    path = folder / "report.html"
    path.write_text(
        page([with_space(entry(folder, HOSTILE, codes=CODES), HOSTILE)], ["clear-bench", "report"]), encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("profile"))
    yield one
    one.close()


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, False), (1200, True), (390, True)])
def test_the_page_fits_loads_nothing_and_logs_nothing(
    browser: Browser, report: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    browser.open(report, width, dark=dark)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    size = browser.screenshot(tmp_path / "page.png")
    assert size[0] == width
    assert size[1] > 900
    asked = {sent["request"]["url"].split(",")[0] for sent in browser.named("Network.requestWillBeSent")}
    assert asked <= {report.as_uri(), "data:"}
    assert browser.named("Log.entryAdded") == []
    assert browser.named("Runtime.consoleAPICalled") == []
    assert browser.named("Runtime.exceptionThrown") == []


def test_style_and_script_of_the_page_are_let_through_by_its_policy(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    assert browser.evaluate("getComputedStyle(document.body).maxWidth") == "1180px"
    assert browser.evaluate("document.querySelectorAll('th button').length") > 0


def test_the_policy_stops_what_is_not_ours(browser: Browser, report: Path, tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.html"
    attack = '<script>window.spoiled = 1</script><img src="https://example.org/x.png"></body>'
    spoiled.write_text(report.read_text(encoding="utf-8").replace("</body>", attack), encoding="utf-8")
    browser.open(spoiled, 1200)
    assert browser.evaluate("typeof window.spoiled") == "undefined"
    assert any("Content Security Policy" in log["entry"]["text"] for log in browser.named("Log.entryAdded"))


def test_tables_are_readable_without_script(browser: Browser, report: Path) -> None:
    browser.open(report, 1200, script=False)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)  # to look at it, after it was loaded without
    assert browser.evaluate("document.querySelectorAll('th button').length") == 0
    assert browser.evaluate("document.querySelectorAll('table tbody tr').length") > 150
    assert browser.evaluate("[...document.querySelectorAll('details')].every(d => d.querySelector('summary'))")


def test_a_click_on_a_heading_sorts_the_rows_and_keeps_the_mean_below(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    first_table = "[...document.querySelectorAll('table')].find(t => t.querySelector('tr.total'))"
    column = f"[...{first_table}.tBodies[0].rows].map(r => r.cells[3].textContent)"
    browser.evaluate(f"{first_table}.tHead.rows[0].cells[3].querySelector('button').click()")
    shown = browser.evaluate(column)
    numbers = [float(text) for text in shown[:-1] if text != "–"]
    assert numbers == sorted(numbers, reverse=True)
    assert browser.evaluate(f"{first_table}.tBodies[0].rows[{len(shown) - 1}].cells[0].textContent") == "mean"


def test_dark_mode_changes_page_and_pictures(browser: Browser, report: Path) -> None:
    seen = []
    for dark in (False, True):
        browser.open(report, 1200, dark=dark)
        tile = "getComputedStyle(document.querySelector('.heat .s0 rect')).fill"
        seen.append(
            (browser.evaluate("getComputedStyle(document.documentElement).backgroundColor"), browser.evaluate(tile))
        )
    assert seen[0][0] == "rgb(255, 255, 255)"
    assert seen[0][0] != seen[1][0]
    assert seen[0][1] != seen[1][1]


def test_numbers_in_the_heat_map_stay_within_their_tiles_and_legible_on_a_phone(browser: Browser, report: Path) -> None:
    browser.open(report, 390)
    boxes = browser.evaluate(
        "[...document.querySelectorAll('.heat g')].filter(g => g.querySelector('text')).map(g => {"
        "const [tile, text] = ['rect', 'text'].map(name => g.querySelector(name).getBoundingClientRect());"
        "return [tile.width, text.width, text.height, g.textContent]})"
    )
    assert len(boxes) >= 288
    assert [name for tile, text, _, name in boxes if text > tile] == []
    assert min(height for _, _, height, _ in boxes) >= 9


def test_the_page_opens_in_a_blink(browser: Browser, report: Path) -> None:
    browser.open(report, 1200)
    timing = browser.evaluate("(t => t.loadEventEnd - t.startTime)(performance.getEntriesByType('navigation')[0])")
    assert timing < 3000
