"""Weights files: reading them safely, telling what is in them, loading them strictly."""

from lrfdn_arch.weights.identify import Identity, identify
from lrfdn_arch.weights.img_range import read_state_for, read_usual_state, usual_img_range
from lrfdn_arch.weights.loading import load_into, load_state
from lrfdn_arch.weights.reading import read_metadata, read_state_dict
from lrfdn_arch.weights.shipped import find_weights

__all__ = [
    "Identity",
    "find_weights",
    "identify",
    "load_into",
    "load_state",
    "read_metadata",
    "read_state_dict",
    "read_state_for",
    "read_usual_state",
    "usual_img_range",
]
