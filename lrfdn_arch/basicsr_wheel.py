"""Build the wheel of BasicSR 1.4.2 that Python 3.13 and later need.

    pip install setuptools
    python -m lrfdn_arch.basicsr_wheel --out wheels
    pip install --find-links wheels 'lrfdn-arch[train]'

BasicSR is published as source only, and its ``setup.py`` reads its version with ``exec`` into
``locals()``, which Python 3.13 does not support (https://github.com/XPixelGroup/BasicSR/issues/749).
Can be removed with a release of BasicSR that builds.
"""

import argparse
import os
import sys
import tarfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

from lrfdn_arch import entry
from lrfdn_arch.download import Download, fetch
from lrfdn_arch.extras import is_installed

SOURCE = Download(
    "https://files.pythonhosted.org/packages/86/41/"
    "00a6b000f222f0fa4c6d9e1d6dcc9811a374cabb8abb9d408b77de39648c/basicsr-1.4.2.tar.gz",
    "sha256:b89b595a87ef964cda9913b4d99380ddb6554c965577c0c10cb7b78e31301e87",
    size=172_524,
)
_FAULTS = (
    ("version_file, 'exec'))", "version_file, 'exec'), globals())"),
    ("locals()[", "globals()["),
)


def build(source: Path, out: Path) -> Path:
    """Build the wheel of an archive of BasicSR 1.4.2 and return it.

    Args:
        source: the archive, as published.
        out: folder for the wheel.

    Raises:
        ValueError: setuptools is not installed.
    """
    if not is_installed("setuptools"):
        raise ValueError("building BasicSR's wheel needs setuptools: pip install setuptools")
    from setuptools import build_meta

    out = out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    with TemporaryDirectory() as folder:
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
        (project,) = Path(folder).iterdir()
        setup = (project / "setup.py").read_text(encoding="utf-8")
        for fault, mended in _FAULTS:
            setup = setup.replace(fault, mended)
        (project / "setup.py").write_text(setup, encoding="utf-8")
        os.chdir(project)
        try:
            with redirect_stdout(StringIO()):
                return out / build_meta.build_wheel(str(out))
        finally:
            os.chdir(before)


def main(argv: Sequence[str]) -> None:
    """Build the wheel of the published archive."""
    parser = argparse.ArgumentParser(prog="basicsr_wheel", description="Build BasicSR's wheel.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the wheel")
    out = parser.parse_args(argv).out
    with TemporaryDirectory() as folder:
        print(build(fetch(SOURCE, Path(folder)), out))


if __name__ == "__main__":
    sys.exit(entry.run(main))
