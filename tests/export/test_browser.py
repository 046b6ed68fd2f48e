"""What a page needs to run networks in a browser, without the browser."""

import base64
import gzip
import hashlib
import io
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import onnx
import pytest
import torch

from lrfdn_arch.archs import SPAN
from lrfdn_arch.cli import main
from lrfdn_arch.download import Download
from lrfdn_arch.export.browser import browser_network, browser_runtime

FILES = {
    "ort.wasm.min.js": b"/* ONNX Runtime Web v1.2.3 */",
    "ort-wasm-simd-threaded.mjs": b"export default 1",
    "ort-wasm-simd-threaded.wasm": b"\0asm",
}


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    """A folder like dist of the npm package."""
    folder = tmp_path / "package/dist"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def unpacked(text: str) -> bytes:
    return gzip.decompress(base64.b64decode(text))


def test_the_package_is_downloaded_once_and_its_files_are_cached(
    tmp_path: Path, dist: Path
) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(dist, "package/dist")
    served = tmp_path / "served"
    served.mkdir()
    (served / "web.tgz").write_bytes(content.getvalue())
    handler = partial(SimpleHTTPRequestHandler, directory=str(served))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        sha256 = hashlib.sha256(content.getvalue()).hexdigest()
        url = f"http://127.0.0.1:{server.server_address[1]}/web.tgz"
        cache = tmp_path / "cache"
        wrong = Download(url, "sha256:" + "0" * 64)
        with pytest.raises(ValueError, match="expected sha256:0000"):
            browser_runtime(package=wrong, cache=cache)
        package = Download(url, f"sha256:{sha256}")
        runtime = browser_runtime(package=package, cache=cache)
        server.shutdown()
    assert runtime["version"] == "1.2.3"
    assert unpacked(runtime["wasm"]) == FILES["ort-wasm-simd-threaded.wasm"]
    assert sorted(path.name for path in cache.iterdir()) == sorted(FILES)
    assert browser_runtime(package=package, cache=cache) == runtime, "without the server"


def test_a_local_folder_may_be_the_package_or_its_dist(dist: Path) -> None:
    assert browser_runtime(dist) == browser_runtime(dist.parent)
    (dist / "ort.wasm.min.js").unlink()
    with pytest.raises(ValueError, match=r"expected a folder with ort\.wasm\.min\.js"):
        browser_runtime(dist)


def test_only_a_network_that_depends_on_a_tile_s_place_has_inputs_for_it(tmp_path: Path) -> None:
    torch.save(SPAN(num_feat=16).state_dict(), tmp_path / "span.pth")
    for weights, windows in (("lrfdn_x4", True), (str(tmp_path / "span.pth"), False)):
        network = browser_network("", weights)
        graph = onnx.load_from_string(unpacked(network["onnx"])).graph
        assert network["windows"] is windows
        assert len(graph.input) == (7 if windows else 1)


def test_networks_of_a_page_need_labels_and_one_scale(tmp_path: Path, dist: Path) -> None:
    out = ["export", "page", "--out", str(tmp_path / "a.html"), "--runtime", str(dist)]
    with pytest.raises(ValueError, match="different labels and one scale, got LRFDN x4, LRFDN x4"):
        main([*out, "--model", "lrfdn_x4", "--model", "lrfdn_x4"])
    assert not (tmp_path / "a.html").exists()
    assert main([*out, "--model", "here=lrfdn_x4"]) == 0
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "connect-src" not in page
    with pytest.raises(FileExistsError, match="--overwrite"):
        main(out)
