"""What pyproject.toml cannot describe: recipes in the wheel, and a README for an index page."""

import re
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


class BuildPy(build_py):
    """Adds the option files: a checkout has them in options/, a wheel inside the package."""

    def run(self) -> None:
        """Copy the package, then the option files."""
        super().run()
        if not self.editable_mode:
            recipes = Path(self.build_lib) / "lrfdn_arch" / "recipes"
            shutil.rmtree(recipes, ignore_errors=True)
            shutil.copytree(ROOT / "options", recipes)


def index_readme() -> str:
    """Return README.md without its pictures and links to other files, which an index lacks."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = re.sub(r"!\[[^\]]*\]\((?!https?:)[^)]*\)\n*", "", text)
    return re.sub(r"\[([^\]]*)\]\((?!https?:)[^)]*\)", r"\1", text)


setup(
    cmdclass={"build_py": BuildPy},
    long_description=index_readme(),
    long_description_content_type="text/markdown",
)
