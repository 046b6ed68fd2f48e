"""Downloads from a local server that behaves well, badly, and not at all."""

import contextlib
import gzip
import hashlib
import socket
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from lrfdn_arch.download import Download, fetch

CONTENT = np.random.default_rng(0).bytes(5_000_000)
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves CONTENT under every path; ``breaks`` says after how many bytes each answer ends."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.contents: dict[str, bytes] = {}  # by name, instead of the above
        self.breaks: list[int] = []
        self.ranges = True
        self.compressed = False  # whatever the client accepts
        self.announces = True  # the length
        self.sent = 0
        self.status: list[int] = []
        self.asked: list[str] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        asked = self.headers.get("Range", "")
        self.server.asked.append(asked)
        if self.server.status and (status := self.server.status.pop(0)) != 200:
            return self.send_error(status)
        content = self.server.contents.get(self.path.rpartition("/")[2], self.server.content)
        start = int(asked[6:-1]) if asked and self.server.ranges else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        body = content[start:]
        self.send_response(206 if start else 200)
        if self.server.compressed:
            body = gzip.compress(body, 1)
            self.send_header("Content-Encoding", "gzip")
        if self.server.announces:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        end = self.server.breaks.pop(0) if self.server.breaks else len(body)
        for at in range(0, len(body[:end]), 1 << 20):
            with contextlib.suppress(ConnectionError):  # the client has enough
                self.wfile.write(body[at : min(at + (1 << 20), end)])
                self.server.sent += 1 << 20
        return None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_downloaded_checked_and_not_downloaded_again(server, tmp_path):
    download = Download(server.url("a.zip"), SHA256, len(CONTENT))
    seen: list[int] = []
    assert fetch(download, tmp_path, seen.append).read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    fetch(download, tmp_path)
    assert len(server.asked) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_a_broken_connection_is_gone_on_with(server, tmp_path):
    server.breaks = [24 << 16, 32 << 16]  # whole chunks of what is written at once
    seen: list[int] = []
    path = fetch(Download(server.url("a.zip"), SHA256), tmp_path, seen.append, pause=0.01)
    assert path.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1572864-", "bytes=3670016-"]
    assert sum(seen) == len(CONTENT)


def test_without_a_connection_the_reason_is_a_few_words(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/a.zip"
        with pytest.raises(OSError, match=r"ends early \(\[Errno \d+\] [\w ]+\)\. Run this again"):
            fetch(Download(url, SHA256), tmp_path, pause=0.001)


def test_a_second_run_goes_on_where_the_first_one_gave_up(server, tmp_path):
    server.breaks = [32 << 16, 0, 0, 0, 0, 0]
    download = Download(server.url("a.zip"), SHA256, len(CONTENT))
    with pytest.raises(OSError, match=r"after 2,097,152 bytes, which are kept in .*a\.zip\.part"):
        fetch(download, tmp_path, pause=0.001)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip.part"]
    server.asked.clear()
    seen: list[int] = []
    assert fetch(download, tmp_path, seen.append).read_bytes() == CONTENT
    assert server.asked == ["bytes=2097152-"]
    assert sum(seen) == len(CONTENT)


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranges, server.breaks = False, [2_000_000]
    seen: list[int] = []
    path = fetch(Download(server.url("a.zip"), SHA256), tmp_path, seen.append, pause=0.01)
    assert path.read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)


def test_a_server_that_is_busy_is_asked_again(server, tmp_path):
    server.status = [503, 200]
    path = fetch(Download(server.url("a.zip"), SHA256), tmp_path, pause=0.01)
    assert path.read_bytes() == CONTENT


def test_a_complete_part_is_used(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT)
    assert fetch(Download(server.url("a.zip"), SHA256), tmp_path).read_bytes() == CONTENT


def test_a_part_of_something_longer_is_dropped(server, tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"more")
    path = fetch(Download(server.url("a.zip"), SHA256), tmp_path, pause=0.01)
    assert path.read_bytes() == CONTENT


def test_another_checksum_is_refused_and_nothing_is_kept(server, tmp_path):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(ValueError, match=r"expected sha256:.*found another checksum"):
        fetch(Download(server.url("a.zip"), SHA256, len(CONTENT)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_another_size_is_refused_before_the_checksum(server, tmp_path):
    server.content = CONTENT[:-10]
    with pytest.raises(ValueError, match="expected 5000000 bytes, the server has 4999990"):
        fetch(Download(server.url("a.zip"), SHA256, len(CONTENT)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_damaged_file_that_is_there_is_replaced_by_a_good_one(server, tmp_path):
    (tmp_path / "a.zip").write_bytes(CONTENT[:100])
    path = fetch(Download(server.url("a.zip"), SHA256), tmp_path)
    assert path.read_bytes() == CONTENT


def test_a_missing_file_says_where_to_put_it(server, tmp_path):
    server.status = [404]
    with pytest.raises(OSError, match=r"answers 404 Not Found.*by other means to .*a\.zip\."):
        fetch(Download(server.url("a.zip"), SHA256), tmp_path)


def test_a_server_that_is_not_there_is_named(server, tmp_path):
    url = server.url("a.zip").replace("127.0.0.1", "127.0.0.2")
    with pytest.raises(OSError, match=r"127\.0\.0\.2.*connection fails"):
        fetch(Download(url, SHA256), tmp_path, pause=0.001)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("announces", [False, True])
def test_a_server_that_sends_more_than_the_file_is_stopped(server, tmp_path, compressed, announces):
    server.content = bytes(300_000_000)
    server.compressed, server.announces = compressed, announces
    seen: list[int] = []
    download = Download(server.url("a.zip"), SHA256, 200_000)
    with pytest.raises(ValueError, match=r"expected 200000 bytes, the server has \d+"):
        fetch(download, tmp_path, seen.append)
    assert not list(tmp_path.iterdir())
    assert sum(seen) <= 200_000


def test_a_file_without_a_known_size_is_bounded_too(server, tmp_path):
    server.announces = False
    with pytest.raises(
        ValueError, match=r"expected up to 1000000 bytes, the server has .* or more"
    ):
        fetch(Download(server.url("a.zip"), SHA256, limit=1_000_000), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_compressed_body_is_decoded_and_started_again_after_a_break(server, tmp_path):
    server.compressed, server.breaks = True, [2_000_000]
    seen: list[int] = []
    download = Download(server.url("a.zip"), SHA256, len(CONTENT))
    path = fetch(download, tmp_path, seen.append, pause=0.01)
    assert path.read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    assert [bool(asked) for asked in server.asked] == [False, True, False]


def test_a_full_disk_is_named_by_the_file_that_was_written(server, tmp_path, small_files_only):
    download = Download(server.url("a"), SHA256, len(CONTENT))
    match = r"cannot write \S*a\S*: File too large"
    with small_files_only(), pytest.raises(OSError, match=match):
        fetch(download, tmp_path / "a")
