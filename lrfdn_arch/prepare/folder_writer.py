"""Writing images as PNG files in a folder, as BasicSR's datasets and the challenge's kits read."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lrfdn_arch.data.lmdb_reader import key_for, name_of
from lrfdn_arch.files import remove_unfinished, write_whole
from lrfdn_arch.prepare.image_writer import ImageWriter, explained


class FolderWriter(ImageWriter):
    """Writes ``<name><suffix>.png``, subfolders in the name included; see `ImageWriter`."""

    JOB = ".job.json"  # hidden, because BasicSR takes every other file in the folder for an image

    def __init__(
        self, path: Path, job: Mapping[str, Any], *, overwrite: bool = False, suffix: str = ""
    ) -> None:
        self.suffix = suffix  # e.g. x4, which the names of LR images end in
        super().__init__(path, job, overwrite=overwrite)

    def _resume(self) -> bool:
        for folder in (self.partial, *(p for p in self.partial.rglob("*") if p.is_dir())):
            remove_unfinished(folder)
        self.done = {
            key_for(path.relative_to(self.partial).as_posix().removesuffix(f"{self.suffix}.png"))
            for path in self.partial.rglob("*.png")
        }
        return True

    def put(
        self, key: str, file: bytes | bytearray, shape: tuple[int, int, int], extension: str
    ) -> None:
        """Write an image, see `ImageWriter`."""
        path = self.partial / f"{name_of(key)}{self.suffix}.{extension}"
        with explained(self.path):
            write_whole(path, bytes(file))
        self.done.add(key)
