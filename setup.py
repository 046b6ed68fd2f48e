"""A shim for tools that expect setup.py; all metadata is in pyproject.toml."""

from setuptools import setup

setup()
