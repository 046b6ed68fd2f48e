"""The page in a real Chromium: from disk, with mouse, keys and a phone's width."""

from pathlib import Path
from typing import Any

import pytest
from chromium import by_id, requests
from stored_results import store

from lrfdn_arch.cli import main
from lrfdn_arch.report.tables import UNKNOWN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    store(folder / "results", size=160)
    assert main(["compare", str(folder / "results"), "--out", str(folder / "report")]) == 0
    return folder / "report/index.html"


@pytest.fixture
def page(browser: Any, report: Path) -> Any:
    browser.get_log("performance")
    browser.get(report.as_uri())
    wait_for_image(browser, "c LRFDN RFDN")
    return browser


def wait_for_image(browser: Any, shown: str) -> None:
    from selenium.webdriver.support.ui import WebDriverWait

    script = "return document.getElementById('stage').dataset.shown === arguments[0]"
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(script, shown), shown)


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def press_with_shift(browser: Any, key: str) -> None:
    from selenium.webdriver import ActionChains, Keys

    ActionChains(browser).key_down(Keys.SHIFT).send_keys(key).key_up(Keys.SHIFT).perform()


def divider(browser: Any) -> int:
    return int(by_id(browser, "divider").get_attribute("aria-valuenow"))


def pixel(browser: Any, canvas: str, x: int, y: int) -> list[int]:
    script = (
        "return Array.from(document.getElementById(arguments[0])"
        ".getContext('2d').getImageData(arguments[1], arguments[2], 1, 1).data)"
    )
    return browser.execute_script(script, canvas, x, y)[:3]


def test_it_opens_from_disk_without_errors_or_requests(page: Any, report: Path) -> None:
    assert page.get_log("browser") == []
    requested = requests(page)
    assert [url for url in requested if not url.startswith(("file://", "data:"))] == []
    assert any(url == report.as_uri() for url in requested), "the log does see requests"


def test_the_divider_follows_the_mouse_and_uncovers_the_other_image(page: Any) -> None:
    from selenium.webdriver import ActionChains

    assert divider(page) == 50
    stage = by_id(page, "stage")
    quarter = stage.size["width"] // 4
    handle = by_id(page, "divider")
    ActionChains(page).drag_and_drop_by_offset(handle, -quarter, 0).perform()
    assert divider(page) == pytest.approx(25, abs=1)
    clip = "return document.getElementById('right-canvas').style.clipPath"
    before = page.execute_script(clip)
    ActionChains(page).drag_and_drop_by_offset(handle, 2 * quarter, 0).perform()
    assert divider(page) == pytest.approx(75, abs=1)
    assert page.execute_script(clip) != before


def test_the_canvases_show_the_saved_pixels(page: Any, report: Path) -> None:
    from lrfdn_arch.evaluation.images import read_rgb

    images = report.parent.parent / "results/images"
    for canvas, label in (("left-canvas", "LRFDN"), ("right-canvas", "RFDN")):
        saved = read_rgb(images / label / "c.png")
        for x, y in ((0, 0), (100, 50), (167, 159)):
            assert pixel(page, canvas, x, y) == saved[y, x].tolist(), (canvas, x, y)


def test_keys_move_zoom_swap_and_choose(page: Any) -> None:
    from selenium.webdriver import Keys

    press(page, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert divider(page) == 48
    press_with_shift(page, Keys.ARROW_RIGHT)
    assert divider(page) == 58
    fitted = by_id(page, "zoom-level").text
    press(page, "+", "+")
    zoomed = by_id(page, "zoom-level").text
    assert int(zoomed.split()[0]) > 2 * int(fitted.split()[0])
    press(page, "0")
    assert by_id(page, "zoom-level").text == fitted
    press(page, "s")
    wait_for_image(page, "c RFDN LRFDN")
    press(page, "1")
    wait_for_image(page, "c LR-bicubic LRFDN")
    press_with_shift(page, "4")
    wait_for_image(page, "c LR-bicubic HR")
    press(page, "n")
    wait_for_image(page, "b LR-bicubic HR")
    press(page, "p", "p")
    wait_for_image(page, "a LR-bicubic HR")


def test_everything_can_be_reached_with_tab(page: Any) -> None:
    from selenium.webdriver import Keys

    reached = []
    for _ in range(40):
        press(page, Keys.TAB)
        element = page.switch_to.active_element
        reached.append(element.get_attribute("id") or element.text)
    wanted = {"left", "swap", "right", "errors", "zoom-out", "zoom-in", "zoom-fit", "divider"}
    assert wanted <= set(reached)
    assert any(text.startswith("PSNR") for text in reached), "the headings sort"


def test_any_two_versions_can_be_compared(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    options = [option.text for option in Select(by_id(page, "left")).options]
    assert options == ["LR, bicubic", "LRFDN", "RFDN", "Ground truth"]
    Select(by_id(page, "left")).select_by_visible_text("LR, bicubic")
    Select(by_id(page, "right")).select_by_visible_text("Ground truth")
    wait_for_image(page, "c LR-bicubic HR")
    assert by_id(page, "right-tag").text == "Ground truth"
    assert by_id(page, "left-tag").text.startswith("LR, bicubic\n")


def test_images_are_ordered_by_where_the_networks_differ_most(page: Any) -> None:
    names = page.find_elements("css selector", "#thumbnails b")
    assert [name.text for name in names] == ["c", "b", "a"]
    names[2].click()
    wait_for_image(page, "a LRFDN RFDN")


def test_the_error_map_is_dark_where_there_is_no_error(page: Any) -> None:
    from selenium.webdriver.support.ui import Select

    Select(by_id(page, "right")).select_by_visible_text("Ground truth")
    by_id(page, "errors").click()
    wait_for_image(page, "c LRFDN HR HR")
    assert by_id(page, "errors").get_attribute("aria-pressed") == "true"
    assert by_id(page, "legend").is_displayed()
    places = [(x, y) for x in (3, 50, 90) for y in (5, 60, 120)]
    assert all(sum(pixel(page, "right-canvas", *place)) <= 8 for place in places)
    assert max(sum(pixel(page, "left-canvas", *place)) for place in places) > 100
    press(page, "e")
    wait_for_image(page, "c LRFDN HR")
    assert not by_id(page, "legend").is_displayed()


def test_tables_sort_both_ways_by_numbers_with_unknown_last(page: Any) -> None:
    table = page.find_element("css selector", "table.sortable")

    headings = table.find_elements("css selector", "th")
    names = [heading.text.split("\n")[0].rstrip(" \u2191\u2193\u2195") for heading in headings]

    def column(name: str) -> list[str]:
        number = names.index(name) + 1
        cells = table.find_elements("css selector", f"tbody td:nth-child({number})")
        return [cell.text for cell in cells]

    def sort(name: str) -> str | None:
        heading = headings[names.index(name)]
        heading.find_element("css selector", "button").click()
        return heading.get_attribute("aria-sort")

    assert sort("Params (M)") == "ascending"
    assert column("Params (M)") == ["0.198", "0.198", "0.433", "0.433", UNKNOWN]
    assert sort("Params (M)") == "descending"
    assert column("Params (M)") == ["0.433", "0.433", "0.198", "0.198", UNKNOWN]
    for _ in range(2):
        sort("PSNR (dB)")
        assert column("PSNR (dB)")[3:] == [UNKNOWN] * 2, "what is unknown stays last"
    sort("Kit time (ms)")
    times = [float(cell.split(" [")[0]) for cell in column("Kit time (ms)") if cell[0].isdigit()]
    assert len(times) >= 2 and times == sorted(times), "with intervals"
    for _ in range(2):
        sort("PSNR (dB)")
    psnr = [float(cell) for cell in column("PSNR (dB)")[:3]]
    assert psnr == sorted(psnr, reverse=True)


def test_zooming_with_the_mouse_keeps_the_place_under_it_and_drags(page: Any) -> None:
    from selenium.webdriver import ActionChains

    stage = by_id(page, "stage")
    ActionChains(page).double_click(stage).perform()
    assert "zoomed" in stage.get_attribute("class")
    transform = "return document.getElementById('layers').style.transform"
    before = page.execute_script(transform)
    corner = ActionChains(page).move_to_element_with_offset(stage, 200, 100)
    corner.click_and_hold().move_by_offset(-60, -40).release().perform()
    assert page.execute_script(transform) != before
    assert divider(page) == 50, "dragging the image does not move the divider"


def test_at_a_phone_s_width_nothing_sticks_out_and_touch_works(page: Any, report: Path) -> None:
    metrics = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": True})
    try:
        page.get(report.as_uri())
        wait_for_image(page, "c LRFDN RFDN")
        assert page.execute_script("return document.documentElement.scrollWidth") == 390
        stage = page.execute_script(
            "const s = document.getElementById('stage'); s.scrollIntoView({block: 'center'});"
            "const b = s.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]"
        )
        left, top, width, height = stage
        assert 300 < width <= 390
        y = top + height * 0.8
        for kind, x in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.8)):
            points = [{"x": left + x * width, "y": y}]
            page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        page.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert divider(page) == pytest.approx(80, abs=2)
        small = page.execute_script(
            "return [...document.querySelectorAll('.toolbar button, .toolbar select')]"
            ".filter((e) => e.getBoundingClientRect().height < 36).map((e) => e.id)"
        )
        assert small == [], "controls are large enough for a thumb"
        assert page.get_log("browser") == []
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": False})
