"""The schema files editors use say what the models say."""

import json
from pathlib import Path

import pytest

from lrfdn_arch.options import json_schema

SHIPPED = Path(__file__).parents[2] / "options" / "schema"


@pytest.mark.parametrize("name", json_schema.FILES)
def test_the_shipped_schema_is_current(name):
    shipped = json.loads((SHIPPED / name).read_text(encoding="utf-8"))
    command = "python -m lrfdn_arch.options.json_schema options/schema"
    assert shipped == json_schema.schema(json_schema.FILES[name]), f"out of date; run {command}"


def test_every_field_is_documented():
    for kind in json_schema.FILES.values():
        schema = json_schema.schema(kind)
        for definition in [schema, *schema["$defs"].values()]:
            for key, field in definition.get("properties", {}).items():
                documented = "description" in field or "$ref" in str(field)  # its class is
                assert documented, f"{definition['title']}.{key} has no description"
