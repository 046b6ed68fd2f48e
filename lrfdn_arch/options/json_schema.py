"""The option files' JSON schema, for editors: ``python -m lrfdn_arch.options.json_schema DIR``."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrfdn_arch import files
from lrfdn_arch.options import root

FILES: dict[str, type[root.Options]] = {
    "train.json": root.TrainOptions,
    "test.json": root.TestOptions,
}
_CLOSED = ("Logger", "Wandb", "DistParams", "IoBackend")
_CLOSED_WITH_KNOWN_MODEL = {"path": "Paths", "train": "Train", "val": "Val"}


def schema(kind: type[root.Options]) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of ``kind``.

    Sections whose ``type`` is known take no further keys; others take any, as when loading.
    """

    def only_properties_of(definition: dict[str, Any]) -> dict[str, Any]:
        return {"propertyNames": {"enum": list(definition["properties"])}}

    result = kind.model_json_schema()
    result["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = result["$defs"]
    for name in _CLOSED:
        definitions[name]["additionalProperties"] = False
    known = {"properties": {"type": {"enum": list(root.KNOWN_DATASETS)}}, "required": ["type"]}
    dataset = definitions["Dataset"]
    dataset |= {"if": known, "then": only_properties_of(dataset)}
    sections = {
        key: only_properties_of(definitions[name])
        for key, name in _CLOSED_WITH_KNOWN_MODEL.items()
        if name in definitions
    }
    result["if"] = {"properties": {"model_type": {"enum": list(root.KNOWN_MODELS)}}}
    result["then"] = {**only_properties_of(result), "properties": sections}
    return result


def main(argv: Sequence[str]) -> int:
    """Write ``train.json`` and ``test.json`` into the folder named by the one argument."""
    if len(argv) != 1:
        raise ValueError("expected one argument, the folder to write train.json and test.json into")
    for name, kind in FILES.items():
        path = Path(argv[0]) / name
        files.write_whole(path, f"{json.dumps(schema(kind), indent=1)}\n".encode())
        print(path)
    return 0


if __name__ == "__main__":
    from lrfdn_arch import entry

    sys.exit(entry.run(main))
