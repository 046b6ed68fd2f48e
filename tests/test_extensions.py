"""Code from outside: files, modules and installed packages that register something."""

import sys
from pathlib import Path

import pytest

from lrfdn_arch import extensions
from lrfdn_arch.extensions import import_extensions


@pytest.fixture(autouse=True)
def own_modules(monkeypatch):
    """Forget afterwards what a test imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_is_imported_once_and_reaches_its_neighbours(tmp_path, monkeypatch):
    (tmp_path / "blocks.py").write_text("WIDTH = 3\n")
    counter = "import sys\nsys.imported = getattr(sys, 'imported', 0) + 1\n"
    (tmp_path / "nets.py").write_text(counter + "from blocks import WIDTH\n")
    monkeypatch.setattr(sys, "imported", 0, raising=False)
    monkeypatch.chdir(tmp_path)
    found = import_extensions(["nets.py", "./nets.py", str(tmp_path / "nets.py")])
    assert found == [str(tmp_path / "nets.py")] * 3
    assert sys.imported == 1  # type: ignore[attr-defined]


def test_files_of_one_name_in_two_folders_are_two_modules(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "nets.py").write_text(f"PLACE = '{folder}'\n")
        import_extensions(["nets.py"], tmp_path / folder)
    names = [n for n in sys.modules if n == "nets" or n.startswith("lrfdn_extension_nets_")]
    places = [sys.modules[name].PLACE for name in names]
    assert sorted(places) == ["a", "b"]


def test_the_given_folder_comes_before_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    for folder in (tmp_path, tmp_path / "beside"):
        (folder / "nets.py").touch()
    (tmp_path / "here.py").touch()
    monkeypatch.chdir(tmp_path)
    found = import_extensions(["nets.py", "here.py"], tmp_path / "beside")
    assert found == [str(tmp_path / "beside" / "nets.py"), str(tmp_path / "here.py")]


def test_a_missing_file_names_the_folders_searched(tmp_path, monkeypatch):
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        import_extensions(["nets.py"], Path("beside"))
    assert str(caught.value) == f"nets.py: no such file in {tmp_path / 'beside'} or {tmp_path}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x = 1\nimport not_there\n", "line 2: ModuleNotFoundError: No module named 'not_there'"),
        ("def f(:\n", "line 1: SyntaxError: invalid syntax"),
        ("\n\nraise RuntimeError('no GPU')\n", "line 3: RuntimeError: no GPU"),
        ("raise SystemExit\n", "line 1: SystemExit"),
    ],
)
def test_a_failing_import_is_one_line_and_can_be_repeated(tmp_path, content, expected):
    file = tmp_path / "nets.py"
    file.write_text(content)
    with pytest.raises(ValueError) as caught:
        import_extensions([str(file)])
    assert str(caught.value) == f"{file} cannot be imported: {expected}"
    file.write_text("")
    import_extensions([str(file)])


def test_modules_are_imported_and_missing_ones_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_nets.py").write_text("import not_there\n")
    assert import_extensions(["colorsys"]) == ["colorsys"]
    with pytest.raises(FileNotFoundError, match="my_netz: no such module is installed"):
        import_extensions(["my_netz"])
    with pytest.raises(ValueError, match=r"my_nets cannot be imported.*named 'not_there'"):
        import_extensions(["my_nets"])


def test_plugins_of_installed_packages_are_imported_and_broken_ones_warned_of(
    tmp_path, monkeypatch
):
    (tmp_path / "good_plugin.py").write_text("import sys\nsys.good_plugin = True\n")
    (tmp_path / "broken_plugin.py").write_text("1 / 0\n")
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[{extensions.GROUP}]\nbroken = broken_plugin\ngood = good_plugin\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    expected = "plugin broken of their-package was not loaded: ZeroDivisionError"
    with pytest.warns(UserWarning, match=expected):
        extensions.import_plugins.__wrapped__()
    assert sys.good_plugin  # type: ignore[attr-defined]
