"""Progress of an evaluation, stored per image so that it can be resumed."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from lrfdn_arch.evaluation.results import ImageScore
from lrfdn_arch.files import write_whole, writing


class Progress:
    """The finished images of one network, stored in a file until the evaluation is complete.

    The first line identifies the evaluation; resuming with any other identity raises an error.

    Args:
        file: JSON Lines file; created if missing.
        identity: everything that the scores depend on, as strings by name.

    Raises:
        ValueError: the file is damaged or belongs to another evaluation.
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
        """Record the score of a finished image and the peak memory so far in MiB."""
        if self._to_be_continued:
            self._to_be_continued = False
            self.interruptions += 1
            self._append({"continued": True})
        self.scores[score.name] = score
        self.memory_mib = max(self.memory_mib, memory_mib or 0)
        self._append({"score": score.model_dump(mode="json"), "memory_mib": memory_mib})

    def _append(self, line: Mapping[str, object]) -> None:
        with writing(self._file), self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _read(self, identity: Mapping[str, str]) -> None:
        # Ignore an incomplete last line, left when the process was interrupted.
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
            raise ValueError(
                f"{self._file} is damaged; use --overwrite to start from scratch"
            ) from error
        different = [key for key in identity if found.get(key) != identity[key]]
        if different:
            differences = "; ".join(
                f"{k} was {found.get(k)}, is now {identity[k]}" for k in different
            )
            raise ValueError(
                f"{self._file.parent.parent} contains a different unfinished evaluation: "
                f"{differences}. Choose another --out, or use --overwrite to start from scratch"
            )
        self.scores = {score.name: score for score in scores}
        self.memory_mib = max((line.get("memory_mib") or 0 for line in rest), default=0.0)
        self.interruptions = sum("continued" in line for line in rest)
        self._to_be_continued = bool(scores)
        write_whole(self._file, b"".join(lines))
        if not lines:
            self._append({"identity": dict(identity)})
