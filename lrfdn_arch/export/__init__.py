"""Networks as files for other programs, and what goes to a challenge."""
