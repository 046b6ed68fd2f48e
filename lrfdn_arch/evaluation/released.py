"""Weights files that their authors released, known by their sha256."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Released:
    """Where a known weights file comes from, and where its numbers were published."""

    network: str
    source: str


# Both from https://github.com/ofsoundof/NTIRE2023_ESR (MIT).
RELEASED = {
    "f8a35b300064b2c3ccee218ef07a6172f49a17fa68674a54fb4b5bf1b2b94cc4": Released(
        "LRFDN", "NTIRE 2023 Efficient SR, team 30"
    ),
    "11af8ec8ebd68689e90ef1e29044f9804c72d3bd9f7573820b7b26035782760c": Released(
        "RFDN", "NTIRE 2023 Efficient SR, baseline (team 00)"
    ),
}


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
