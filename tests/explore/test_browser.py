"""The explorer in a real browser, Chromium without a window, as its reader uses it: with keys, clicks, files and a phone's width.

Skipped where there is no Chromium (Debian: chromium and chromium-driver); with BLURCORE_TEST_BROWSER set that is an error.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import blurcore as bc
from blurcore.data.formats import in_words
from blurcore.explore.stepping import Stepper

pytestmark = pytest.mark.slow

RUN = Path(__file__).parents[1] / "training" / "fixtures" / "format_1"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


def missing(reason: str) -> None:
    if os.environ.get("BLURCORE_TEST_BROWSER"):
        pytest.fail(f"BLURCORE_TEST_BROWSER asks for a browser, and {reason}")
    pytest.skip(reason)


def test_browser_that_was_asked_for_and_is_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("BLURCORE_TEST_BROWSER", "1")
    with pytest.raises(pytest.fail.Exception, match="asks for a browser, and it is gone"):
        missing("it is gone")
    monkeypatch.delenv("BLURCORE_TEST_BROWSER")
    with pytest.raises(pytest.skip.Exception, match="it is gone"):
        missing("it is gone")


class Browser:
    """A window, and what a reader does with it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, *, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
        self.driver.get(address)
        self.wait(lambda: self.source())

    def wait(self, condition: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 60, poll_frequency=0.05).until(lambda driver: condition())

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return self.driver.find_elements("css selector", selector)

    def run(self, script: str, *args: Any) -> Any:
        return self.driver.execute_script(script, *args)

    def source(self, panel: int = 0, name: str = "noisy") -> str | None:
        """Return a panel's picture, as it is shown."""
        script = """
            const panel = document.querySelectorAll(".panel")[arguments[0]];
            return panel && panel.querySelector("img." + arguments[1]).getAttribute("src");
        """
        return self.run(script, panel, name)

    def type(self, selector: str, text: str) -> None:
        """Put a text in the place of what an input holds, as its reader would."""
        element = self.find(selector)
        self.run("arguments[0].value = ''", element)
        element.send_keys(text)

    def errors(self) -> list[str]:
        return [e.text for e in self.all(".error") if e.is_displayed()]

    def choose(self, panel: int, name: str, value: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(
            self.all(".panel")[panel].find_element("css selector", f"select[data-name='{name}']")
        ).select_by_visible_text(value)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver_program = shutil.which("chromedriver")
    if program is None or driver_program is None:
        missing("chromium and its chromedriver are not installed")
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        missing("selenium is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(driver_program))
    yield Browser(driver)
    driver.quit()


def test_page_loads_without_a_complaint_and_shows_a_picture(browser, client):
    browser.open(client.address)
    assert browser.driver.title == "blurcore explorer"
    assert browser.errors() == []
    assert [entry for entry in browser.driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    for name in ("noisy", "blurred", "noise"):
        picture = browser.find(f"img.{name}")
        assert browser.wait(lambda picture=picture: browser.run("return arguments[0].naturalWidth", picture)) >= 28
        assert picture.get_attribute("alt")
    assert len(browser.all(".plot path")) == 4
    assert "α from" in browser.find(".facts").text


def test_slider_changes_the_picture_by_key(browser, client):
    browser.open(client.address)
    slider = browser.find("#t")
    before = browser.source()
    slider.send_keys("\ue014")  # the right arrow
    assert browser.find("#t-value").text == slider.get_attribute("aria-valuetext") == "t = 0.151"
    browser.wait(lambda: browser.source() != before)
    slider.send_keys("\ue010")  # the end key
    browser.wait(lambda: browser.find("#t-value").text == "t = 1.000")
    later = browser.wait(lambda: browser.source() if "t = 1" in browser.find(".noisy").get_attribute("alt") else None)
    assert later != before


def test_questions_that_pile_up_are_dropped_and_the_last_one_is_answered(browser, client):
    browser.open(client.address)
    browser.run("performance.clearResourceTimings(); performance.setResourceTimingBufferSize(1000)")
    browser.run(
        "const t = document.getElementById('t'); for (let i = 0; i <= 300; i++) { t.value = i; t.dispatchEvent(new Event('input')); }"
    )
    browser.wait(lambda: browser.find(".noisy").get_attribute("alt").endswith("t = 0.3"))
    asked = browser.run(
        "return performance.getEntriesByType('resource').filter((e) => e.name.endsWith('/api/view')).length"
    )
    assert 1 <= asked <= 3
    image = browser.find("#pictures [aria-checked='true']").get_attribute("data-image")
    question = {"image": image, "t": 0.3, "seed": 0, "process": {"kind": "BlurringDiffusion"}}
    assert browser.source() == client.ask("/api/view", question).json["noisy"]


def test_two_processes_are_compared_under_the_same_time_and_noise(browser, client):
    browser.open(client.address)
    browser.find("#compare").click()
    browser.wait(lambda: browser.source(1))
    assert [panel.find_element("css selector", "h2").text for panel in browser.all(".panel")] == ["A", "B"]
    assert browser.source(0) != browser.source(1)
    left, right = (panel.rect for panel in browser.all(".panel"))
    assert left["y"] == right["y"]  # side by side
    assert left["x"] + left["width"] <= right["x"]
    browser.choose(1, "process", "blurring diffusion")
    browser.wait(lambda: browser.source(0) == browser.source(1))
    before = browser.source(0)
    browser.find("#noise").click()
    browser.wait(lambda: browser.source(0) == browser.source(1) != before)
    browser.choose(1, "blur", "NoBlur")  # own settings
    browser.wait(lambda: browser.source(0) != browser.source(1))
    browser.find("#compare").click()
    browser.wait(lambda: len(browser.all(".panel")) == 1)


def test_every_process_can_be_chosen(browser, client):
    browser.open(client.address)
    for label in ("Gaussian diffusion", "heat dissipation", "cold diffusion", "blurring diffusion"):
        browser.choose(0, "process", label)
        browser.wait(lambda label=label: label in browser.find(".noisy").get_attribute("alt"))
        assert browser.errors() == []
        assert (browser.source(0, "noise") is None) == (label == "cold diffusion")


def test_invalid_setting_is_an_error_that_can_be_corrected(browser, client):
    browser.open(client.address)
    browser.type("input[data-name='min_scale']", "2")
    browser.wait(lambda: any("min_scale must be in [0, 1]; got 2" in error for error in browser.errors()))
    assert "stale" in browser.find(".panel").get_attribute("class")
    before = browser.source()
    browser.type("input[data-name='min_scale']", "0.5")
    browser.wait(lambda: browser.errors() == [] and browser.source() != before)


def test_bad_upload_is_refused_kindly_and_a_good_one_is_taken(browser, client, tmp_path):
    browser.open(client.address)
    before = browser.source()
    (tmp_path / "picture.png").write_text("this is no picture")
    browser.find("#file").send_keys(str(tmp_path / "picture.png"))
    browser.wait(browser.errors)
    (said,) = browser.errors()
    assert said.startswith(f"“picture.png” was not taken: this cannot be shown: not a {in_words()} image")
    assert browser.source() == before
    Image.new("RGB", (50, 40), "red").save(tmp_path / "good.png")
    browser.find("#file").send_keys(str(tmp_path / "good.png"))
    browser.wait(lambda: browser.source() != before)
    assert browser.errors() == []
    checked = browser.find("#pictures [aria-checked='true']")
    assert checked.get_attribute("title") == "good.png, 50 × 40"


def test_image_can_be_dropped_anywhere(browser, client):
    browser.open(client.address)
    before = browser.source()
    stream = io.BytesIO()
    Image.new("L", (30, 20), 255).save(stream, "PNG")
    drop = """
        const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));
        const dataTransfer = new DataTransfer();
        dataTransfer.items.add(new File([bytes], arguments[1]));
        document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
    """
    browser.run(drop, base64.b64encode(stream.getvalue()).decode(), "dropped.png")
    browser.wait(lambda: browser.source() != before)
    browser.run(drop, base64.b64encode(stream.getvalue()[:40]).decode(), "cut.png")
    browser.wait(browser.errors)
    assert browser.errors()[0].startswith("“cut.png” was not taken: ")


def test_images_are_chosen_with_the_arrow_keys(browser, client):
    browser.open(client.address)
    buttons = browser.all("#pictures button")
    buttons[0].send_keys("\ue012")  # the left arrow: round to the last one
    assert browser.run("return document.activeElement.dataset.image") == "rings"
    assert browser.find("#pictures [aria-checked='true']").get_attribute("data-image") == "rings"


def test_page_fits_a_phone_and_has_a_dark_theme(browser, client):
    pages = {}
    for scheme in ("light", "dark"):
        browser.open(client.address, width=390, height=844, scheme=scheme)
        browser.find("#compare").click()
        browser.wait(lambda: browser.source(1))
        assert browser.run("return document.documentElement.scrollWidth") == 390
        pages[scheme] = browser.run("return getComputedStyle(document.body).backgroundColor")
    assert len(set(pages.values())) == 2


def test_run_is_stepped_through(browser, torch, serve):
    with serve(Stepper(RUN, bc.get_backend("torch"), device="cpu")) as client:
        browser.open(client.address)
        assert "format_1: blurring diffusion on Digits, step 2" in browser.find("#run-about").text
        browser.type("#run-steps", "0")
        browser.find("#run-draw").click()
        browser.wait(lambda: browser.errors() == ["num_steps must be a whole number from 1 to 1000; got 0"])
        browser.type("#run-steps", "6")
        browser.find("#run-draw").click()
        browser.wait(lambda: "step 6 of 6, t = 0.000" in browser.find("#run-caption").text)
        assert browser.errors() == []
        frame = browser.find("#run-frame")
        seen = [frame.get_attribute("src")]
        for selector, caption in (
            ("#run-back", "step 5 of 6"),
            ("#run-back", "step 4 of 6"),
            ("#run-next", "step 5 of 6"),
        ):
            browser.find(selector).click()
            assert browser.find("#run-caption").text.startswith(caption)
            seen.append(frame.get_attribute("src"))
        assert seen[1] == seen[3]
        assert len(set(seen)) == 3
        assert browser.wait(lambda: browser.run("return arguments[0].naturalWidth", frame)) > 64
        browser.find("#run-step").send_keys("\ue011")  # the home key
        assert browser.find("#run-caption").text.startswith("step 0 of 6, t = 1.000")
        browser.find("#run-play").click()
        browser.wait(lambda: browser.find("#run-caption").text.startswith("step 6 of 6"))
        browser.wait(lambda: browser.find("#run-play").text == "Play")


def test_page_shows_that_the_server_has_stopped(browser, client):
    browser.open(client.address)
    network = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    try:
        browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": True, **network})
        browser.find("#t").send_keys("\ue014")
        browser.wait(lambda: browser.errors() == ["the server does not answer; is blurcore explore still running?"])
    finally:
        browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {"offline": False, **network})
    browser.find("#t").send_keys("\ue014")
    browser.wait(lambda: browser.errors() == [])


def test_colours_of_the_pictures_are_those_of_the_core(browser, client):
    """What the screen is given, decoded by the browser itself."""
    browser.open(client.address)
    browser.find("#pictures [data-image='rings']").click()
    question = {"image": "rings", "t": 0.15, "seed": 0, "process": {"kind": "BlurringDiffusion"}}
    expected = client.ask("/api/view", question).json["noisy"]
    browser.wait(lambda: browser.source() == expected)
    shown = browser.run(
        "const i = document.querySelector('img.noisy'), c = document.createElement('canvas');"
        "c.width = i.naturalWidth; c.height = i.naturalHeight; const x = c.getContext('2d'); x.drawImage(i, 0, 0);"
        "return Array.from(x.getImageData(0, 0, c.width, c.height).data)"
    )
    with Image.open(io.BytesIO(base64.b64decode(expected.partition(",")[2]))) as picture:
        np.testing.assert_array_equal(np.array(shown).reshape(96, 96, 4)[..., 0], np.asarray(picture))
