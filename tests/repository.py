"""Where things are, seen from the tests."""

from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
FIXTURES = REPOSITORY / "tests/fixtures"
