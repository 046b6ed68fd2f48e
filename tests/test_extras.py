"""What a missing package is told, and BasicSR's wheel."""

import io
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lrfdn_arch import basicsr_wheel, entry, extras

REQUIRES = [
    "numpy<3,>=1.26",
    'torch<3,>=2.10; extra == "torch"',
    'torchvision<1,>=0.25; extra == "train"',
    'scikit-image<1,>=0.24; extra == "train"',
]


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(extras, "requires", lambda name: REQUIRES)

    def command(argv: Sequence[str]) -> None:
        raise ModuleNotFoundError(f"No module named {argv[0]!r}", name=argv[0])

    return command


@pytest.mark.parametrize(
    ("module", "extra"),
    [("torch.nn", "torch"), ("torchvision", "train"), ("skimage.metrics", "train")],
)
def test_a_missing_package_is_an_error_of_one_line_with_its_extra(
    fail, capsys: pytest.CaptureFixture[str], module: str, extra: str
) -> None:
    assert entry.run(fail, [module]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: this needs the package {module.partition('.')[0]}, ")
    assert f"pip install 'lrfdn-arch[{extra}]'" in line


def test_a_missing_package_of_somebody_else_keeps_its_traceback(fail) -> None:
    with pytest.raises(ModuleNotFoundError, match="their_package"):
        entry.run(fail, ["their_package"])


def test_basicsr_s_wheel_is_built_from_its_setup_with_the_fault_mended(tmp_path: Path) -> None:
    setup = """
from setuptools import setup
def get_version():
    with open('version.py', 'r') as f:
        exec(compile(f.read(), version_file, 'exec'))
    return locals()['__version__']
version_file = 'version.py'
setup(name='basicsr', version=get_version(), py_modules=['version'], setup_requires=['torch'])
"""
    with tarfile.open(tmp_path / "basicsr.tar.gz", "w:gz") as archive:
        for name, text in (("setup.py", setup), ("version.py", "__version__ = '1.4.2'")):
            member = tarfile.TarInfo(f"basicsr-1.4.2/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    wheel = basicsr_wheel.build(tmp_path / "basicsr.tar.gz", tmp_path / "wheels")
    assert wheel.name == "basicsr-1.4.2-py3-none-any.whl"
    assert "version.py" in zipfile.ZipFile(wheel).namelist()
