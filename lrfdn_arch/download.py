"""Downloading a large file: resumed after an interruption, checked by size and checksum."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lrfdn_arch.files import sync, writing

_CHUNK = 1 << 16  # bytes that a broken connection can lose at most
_TIMEOUT = 30  # seconds without a byte
_RETRIES = 5  # consecutive attempts without progress


@dataclass(frozen=True)
class Download:
    """A file on the web."""

    url: str
    checksum: str  # ``sha256:...`` or ``md5:...``
    size: int | None = None  # in bytes, if the publisher states it
    limit: int = 32_000_000_000  # in bytes; a server that sends more is not serving this file

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

    An interrupted download is kept in ``<name>.part`` and resumed.

    Args:
        download: the file to download.
        folder: the destination.
        advance: called with numbers of bytes, including those of an earlier attempt.
        pause: seconds before the first retry; doubled for every further one.

    Raises:
        ValueError: the server's file has another size or checksum.
        OSError: the server cannot be reached, or the file cannot be written.
    """
    target = folder / download.name
    if target.is_file() and _matches(target, download.checksum):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    transfer = _Transfer(download, target, advance)
    transfer.run(pause)
    if not _matches(transfer.part, download.checksum):
        transfer.part.unlink()
        raise ValueError(
            f"{download.url}: expected {download.checksum}, found another checksum: the file was "
            "damaged on the way or has been replaced. Nothing was kept; run this again, or put the "
            f"right file at {target}."
        )
    sync(transfer.part)
    return transfer.part.replace(target)


def _matches(file: Path, checksum: str) -> bool:
    import pooch

    algorithm, _, expected = checksum.partition(":")
    return pooch.file_hash(str(file), alg=algorithm) == expected


def _innermost(error: BaseException) -> str:
    """Return the message of the error that requests and urllib3 have wrapped."""
    inner: BaseException | None = error
    while inner is not None:
        error = inner
        parts = (getattr(error, "reason", None), *error.args)
        inner = next((part for part in parts if isinstance(part, BaseException)), None)
    return str(error).rpartition(": ")[2]


class _Transfer:
    """Downloads a file to ``<target>.part``; pooch and requests do not resume."""

    def __init__(self, download: Download, target: Path, advance: Callable[[int], object]) -> None:
        self.download, self.target, self.advance = download, target, advance
        self.part = target.with_name(f"{target.name}.part")

    def run(self, pause: float) -> None:
        """Download until the file is complete or `_RETRIES` attempts in a row make no progress."""
        import requests

        self.advance(self._have())
        attempt, error = 0, None
        while attempt < _RETRIES:
            before = self._have()
            try:
                if self._get_rest():
                    return
            except (
                requests.ConnectionError,
                requests.Timeout,
                requests.exceptions.ChunkedEncodingError,  # the body ended early
            ) as caught:
                error = caught
            attempt = attempt + 1 if self._have() <= before else 0
            if attempt < _RETRIES:
                time.sleep(pause * 2**attempt)
        have, reason = self._have(), _innermost(error) if error else "no error reported"
        kept = f" after {have:,} bytes, which are kept in {self.part}" if have else ""
        raise OSError(
            f"{self.download.url}: the connection fails or ends early ({reason})"
            f"{kept}. Run this again, or download the file by other means to {self.target}."
        )

    def _have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _get_rest(self) -> bool:
        """Request what is missing and append it; return whether the file is complete."""
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}  # a range of a compressed body is useless
        if have:
            headers["Range"] = f"bytes={have}-"
        url = self.download.url
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                total = int(response.headers.get("Content-Range", "*/-1").rpartition("/")[2])
                if have != total:
                    self._restart()
                return self._is_complete(total)
            if response.status_code >= 500:
                raise requests.ConnectionError(f"{response.status_code} {response.reason}")
            if response.status_code >= 400:
                raise OSError(
                    f"{self.download.url}: the server answers {response.status_code} "
                    f"{response.reason}. Download the file by other means to {self.target}."
                )
            partial = response.status_code == requests.codes.partial_content
            if have and partial and "Content-Encoding" in response.headers:
                self._restart()  # a range of the compressed file
                return False
            if have and not partial:
                self._restart()  # the server does not support ranges
            length, total = response.headers.get("Content-Length", ""), None
            if length.isdecimal() and "Content-Encoding" not in response.headers:
                total = int(length) + self._have()
                self._check_size(total, complete=True)
            with writing(self.part), self.part.open("ab") as file:
                for chunk in response.iter_content(_CHUNK):
                    self._check_size(file.tell() + len(chunk))
                    file.write(chunk)
                    self.advance(len(chunk))
        return self._is_complete(total)

    def _restart(self) -> None:
        self.advance(-self._have())
        self.part.unlink()

    def _check_size(self, size: int, *, complete: bool = False) -> None:
        expected = self.download.size
        if size > (expected or self.download.limit) or (complete and size != (expected or size)):
            self.part.unlink(missing_ok=True)
            raise ValueError(
                f"{self.download.url}: expected {expected or f'up to {self.download.limit}'} "
                f"bytes, the server has {size}{'' if complete else ' or more'}. It is not the "
                f"published file; put that one at {self.target}."
            )

    def _is_complete(self, total: int | None) -> bool:
        have = self._have()
        if total is not None and have < total:
            return False
        self._check_size(have, complete=True)
        return True
