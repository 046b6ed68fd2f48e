"""Networks as files for other programs, and challenge submissions."""
