"""Files that are either whole or not there."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to, and rename it to ``path`` when all went well.

    After an error or an interruption ``path`` is what it was before and nothing lies beside it. The
    name ends as ``path`` does, because libraries choose formats by it, is short, because a file
    system that takes the name of ``path`` may take none that is longer, and random, because process
    numbers are the same on machines and in containers that share a folder.
    """
    beside = path.with_name(f".{secrets.token_hex(4)}.part{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
