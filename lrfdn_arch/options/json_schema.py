"""The option files' JSON schema, for editors: ``python -m lrfdn_arch.options.json_schema DIR``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch.options.dataset import KNOWN_DATASETS
from lrfdn_arch.options.root import KNOWN_MODELS, Options, TestOptions, TrainOptions

FILES: dict[str, type[Options]] = {"train.json": TrainOptions, "test.json": TestOptions}
_ALWAYS_CLOSED = ("Val", "Logger", "Wandb", "DistParams", "Scheduler")


def schema(kind: type[Options]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of ``kind``.

    Sections whose ``type`` is known take no further keys; others take any, as when loading.
    """
    result = kind.model_json_schema()
    result["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = result["$defs"]
    for name in _ALWAYS_CLOSED:
        if name in definitions:
            definitions[name]["additionalProperties"] = False
    _close_if(definitions["Dataset"], "type", KNOWN_DATASETS)
    _close_if(result, "model_type", KNOWN_MODELS, optional=True)
    return result


def write(folder: Path) -> list[Path]:
    """Write ``train.json`` and ``test.json`` into ``folder`` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in FILES.items():
        (folder / name).write_text(json.dumps(schema(kind), indent=1) + "\n", encoding="utf-8")
    return [folder / name for name in FILES]


def _close_if(
    definition: dict[str, Any], key: str, known: Sequence[str], optional: bool = False
) -> None:
    condition: dict[str, Any] = {"properties": {key: {"enum": list(known)}}}
    if not optional:
        condition["required"] = [key]
    definition["if"] = condition
    definition["then"] = {"propertyNames": {"enum": list(definition["properties"])}}


def main(argv: Sequence[str]) -> int:
    """Write the schema files into the folder named by the one argument."""
    if len(argv) != 1:
        raise ValueError("expected one argument, the folder to write train.json and test.json into")
    for path in write(Path(argv[0])):
        print(path)
    return 0


if __name__ == "__main__":
    from lrfdn_arch import entry

    sys.exit(entry.run(main))
