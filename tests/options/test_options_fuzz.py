"""Random option files: a clear error or options that survive being written and read again."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repository import REPOSITORY

from lrfdn_arch.options import OptionsError, TrainOptions, load_options, to_basicsr
from lrfdn_arch.options.yaml_file import read_value, read_yaml

pytestmark = pytest.mark.slow
DEMO = REPOSITORY / "options/train/LRFDN/train_LRFDN_x4_demo.yml"
TEXT = DEMO.read_text(encoding="utf-8")
CONTENT, _ = read_yaml(DEMO)
# The same examples in each run; a few seconds of them.
few = settings(
    max_examples=600,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
# Small enough that no network of millions of blocks is built.
numbers = st.integers(-40, 40) | st.floats() | st.sampled_from([2**31, 2**63, 10**30, -(10**30)])
values = st.recursive(
    st.none() | st.booleans() | numbers | words | st.sampled_from(["LRFDN", "EDSR", "SGD", "~"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def key_paths(section: Any, prefix: tuple = ()) -> list[tuple]:
    if not isinstance(section, dict):
        return []
    inner = [path for key, value in section.items() for path in key_paths(value, (*prefix, key))]
    return [*((*prefix, key) for key in section), *inner]


@st.composite
def changed_files(draw: st.DrawFn) -> dict[str, Any]:
    """The demo's options with keys replaced, removed, renamed and added."""
    content = deepcopy(CONTENT)
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(key_paths(content) or [("name",)]))
        section = content
        for key in path[:-1]:
            section = section[key]
        change = draw(st.sampled_from(["replace", "remove", "rename", "add"]))
        value = section.pop(path[-1], None) if change in ("remove", "rename") else draw(values)
        if change != "remove":
            section[path[-1] if change == "replace" else draw(words)] = value
    return content


def load(file: Path, content: str | bytes) -> TrainOptions | None:
    """The options in ``content``, None where they are refused in words."""
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        return load_options(file, TrainOptions)
    except OptionsError as error:
        assert error.faults
        assert all(len(line) < 3000 for line in str(error).splitlines()), error
        return None


@few
@given(content=changed_files())
def test_changed_options_are_refused_in_words_or_survive_a_round_trip(tmp_path, content):
    file = tmp_path / "options.yml"
    options = load(file, yaml.safe_dump(content, allow_unicode=True))
    if options is None:
        return
    opt = to_basicsr(options, root=tmp_path)
    yaml.safe_dump(opt)  # plain types only
    written = yaml.safe_dump(options.model_dump(mode="json"), allow_unicode=True)
    assert load(file, written) == options


@few
@given(start=st.integers(0, len(TEXT)), length=st.integers(0, 40), new=st.binary(max_size=20))
def test_files_with_damaged_bytes_are_refused_in_words_or_valid(tmp_path, start, length, new):
    content = TEXT.encode()
    options = load(tmp_path / "options.yml", content[:start] + new + content[start + length :])
    assert options is None or isinstance(options, TrainOptions)


@few
@given(text=st.text(st.sampled_from("&*a[]{}<:,-!|>'\"%@ \n\t0.1e~"), max_size=60))
def test_any_yaml_is_a_value_or_refused_in_words(text):
    try:
        yaml.safe_dump(read_value(text))
    except ValueError as error:
        assert str(error)


@few
@given(key=words, value=st.text(max_size=20))
def test_any_override_is_taken_or_refused_in_words(key, value):
    try:
        load_options(DEMO, TrainOptions, [f"{key}={value}", f"val:{value}"])
    except OptionsError as error:
        assert error.faults
