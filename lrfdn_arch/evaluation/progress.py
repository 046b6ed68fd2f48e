"""An evaluation that stops halfway goes on where it stopped: one line per finished image."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from lrfdn_arch.evaluation.results import ImageScore


class Progress:
    """The finished images of one network, in a file that lives until the evaluation is done.

    The first line says what is judged and how; going on with anything else is refused.

    Args:
        file: where the lines are.
        identity: whatever the scores depend on, as text by name.

    Raises:
        ValueError: the file is of another evaluation; the message says what differs.
    """

    def __init__(self, file: Path, identity: Mapping[str, str]) -> None:
        self._file = file
        self.scores: dict[str, ImageScore] = {}
        self.interruptions = 0
        self._to_be_continued = False
        self.memory_mib = 0.0
        if file.is_file():
            self._read(identity)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._append({"identity": dict(identity)})

    def add(self, score: ImageScore, memory_mib: float | None) -> None:
        """Note that an image is done, and the peak memory of the kit up to it."""
        if self._to_be_continued:
            self._to_be_continued = False
            self.interruptions += 1
            self._append({"continued": True})
        self.scores[score.name] = score
        self.memory_mib = max(self.memory_mib, memory_mib or 0)
        self._append({"score": score.model_dump(mode="json"), "memory_mib": memory_mib})

    def _append(self, line: Mapping[str, object]) -> None:
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self, identity: Mapping[str, str]) -> None:
        # Only whole lines count: the last one may have been cut by whatever stopped the process.
        lines = [
            line
            for line in self._file.read_bytes().splitlines(keepends=True)
            if line.endswith(b"\n")
        ]
        try:
            found = json.loads(lines[0])["identity"] if lines else dict(identity)
            rest = [json.loads(line) for line in lines[1:]]
            scores = [ImageScore.model_validate(line["score"]) for line in rest if "score" in line]
        except (ValueError, KeyError, ValidationError) as error:
            raise ValueError(f"{self._file} is damaged; give --overwrite to start over") from error
        different = [key for key in identity if found.get(key) != identity[key]]
        if different:
            differences = "; ".join(f"{k} was {found.get(k)}, is {identity[k]}" for k in different)
            raise ValueError(
                f"{self._file.parent.parent} holds a begun evaluation of something else: "
                f"{differences}. Choose another --out, or --overwrite to start over"
            )
        self.scores = {score.name: score for score in scores}
        self.memory_mib = max((line.get("memory_mib") or 0 for line in rest), default=0.0)
        self.interruptions = sum("continued" in line for line in rest)
        self._to_be_continued = bool(scores)
        self._file.write_bytes(b"".join(lines))
        if not lines:
            self._append({"identity": dict(identity)})
