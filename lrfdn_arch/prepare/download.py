"""Downloading a large archive: goes on after an interruption, checked by size and checksum."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK = 1 << 16  # what a broken connection can lose
_TIMEOUT = 30  # seconds without a byte
_RETRIES = 5  # attempts in a row that bring nothing


@dataclass(frozen=True)
class Download:
    """A file on the web.

    Attributes:
        url: where it is.
        checksum: ``sha256:...`` or ``md5:...``.
        size: in bytes, None if the publisher does not say.
    """

    url: str
    checksum: str
    size: int | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rsplit("/", 1)[1]


def fetch(
    download: Download,
    folder: Path,
    advance: Callable[[int], object] = lambda count: None,
    *,
    pause: float = 1.0,
) -> Path:
    """Return ``folder / download.name``, downloaded if it is not there already.

    What an interrupted download has brought stays in ``<name>.part`` and is gone on with.

    Args:
        download: what to get.
        folder: where to put it.
        advance: told of every so many bytes, those of an earlier attempt included.
        pause: seconds before the first retry; doubled for every further one.

    Raises:
        ValueError: the file is not what it should be.
        OSError: the server cannot be reached, or the file cannot be written.
    """
    import pooch  # checks checksums, and moves the file into place only when it is right

    target = folder / download.name
    downloader: Any = _ResumingDownloader(download, target, advance, pause)
    pooch.get_logger().setLevel("WARNING")  # the progress bar says the rest
    try:
        path = pooch.retrieve(
            download.url,
            known_hash=download.checksum,
            fname=download.name,
            path=folder,
            downloader=downloader,
        )
    except ValueError as error:
        if "does not match" not in str(error):
            raise
        raise ValueError(
            f"{download.url}: expected {download.checksum}, found another checksum: the file was "
            "damaged on its way or has been replaced. Nothing was kept; run this again, or put the "
            f"right file at {target}."
        ) from error
    return Path(path)


class _ResumingDownloader:
    """A pooch downloader that keeps what it has in ``<target>.part`` until it is complete."""

    def __init__(
        self, download: Download, target: Path, advance: Callable[[int], object], pause: float
    ) -> None:
        self.download = download
        self.part = target.with_name(f"{target.name}.part")
        self.advance = advance
        self.pause = pause

    def __call__(
        self, url: str, output_file: Any, pooch: Any, check_only: bool | None = False
    ) -> bool | None:
        """Download ``url`` to ``output_file``, as pooch asks for it."""
        import requests

        self.advance(self._have())
        attempt, error = 0, None
        while attempt < _RETRIES:
            before = self._have()
            try:
                if self._get_rest(url):
                    self.part.replace(output_file)
                    return None
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,  # the body broke off
            ) as caught:
                error = caught
            attempt = attempt + 1 if self._have() <= before else 0
            if attempt < _RETRIES:
                time.sleep(self.pause * 2**attempt)
        raise OSError(
            f"{url}: the connection fails or breaks off ({error or 'early end'}) after "
            f"{self._have()} bytes, which are kept in {self.part}. Run this again to go on, or "
            f"download the file by other means to {self.part.with_suffix('')}."
        )

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get_rest(self, url: str) -> bool:
        """Ask for what is missing and append it; whether everything is there now."""
        import requests

        have = self._have()
        headers = {"Range": f"bytes={have}-", "Accept-Encoding": "identity"} if have else {}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                total = int(response.headers.get("Content-Range", "*/-1").rpartition("/")[2])
                if have == total:
                    return self._is_complete(total)
                return self._start_again(have)
            if response.status_code >= 500:
                raise requests.ConnectionError(f"{response.status_code} {response.reason}")
            if response.status_code >= 400:
                raise OSError(
                    f"{url}: the server answers {response.status_code} {response.reason}. Download "
                    f"the file by other means to {self.part.with_suffix('')}."
                )
            resumed = response.status_code == requests.codes.partial_content
            if have and not resumed:  # a server that knows no ranges
                self.advance(-have)
            rest = response.headers.get("Content-Length")
            total = None if rest is None else int(rest) + (have if resumed else 0)
            with self.part.open("ab" if resumed else "wb") as file:
                for chunk in response.iter_content(_CHUNK):
                    file.write(chunk)
                    self.advance(len(chunk))
        return self._is_complete(total)

    def _start_again(self, have: int) -> bool:
        self.part.unlink()
        self.advance(-have)
        return False

    def _is_complete(self, total: int | None) -> bool:
        have, expected = self._have(), self.download.size
        if total is not None and have < total:
            return False
        if expected is not None and have != expected:
            self.part.unlink()
            raise ValueError(
                f"{self.download.url}: expected {expected} bytes, the server has {have}. It is "
                f"not the published file; put that one at {self.part.with_suffix('')}."
            )
        return True
