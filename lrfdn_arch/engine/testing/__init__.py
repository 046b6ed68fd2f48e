"""``test.py``: a network measured on the sets of an option file."""
