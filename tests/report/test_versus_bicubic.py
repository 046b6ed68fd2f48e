"""A tested network beside bicubic: the figures, the picture, the exit code."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from lrfdn_arch.cli import main
from lrfdn_arch.data.bicubic import imresize
from lrfdn_arch.data.lmdb_writer import write_lmdb
from lrfdn_arch.evaluation.metrics import psnr_rgb
from lrfdn_arch.report.side_by_side import where_they_differ_most


def test_the_crop_is_where_two_images_differ_most() -> None:
    a = np.zeros((40, 60, 3), np.uint8)
    b = a.copy()
    b[5:9, 3:7] = 100
    b[22:30, 41:49] = 90
    assert where_they_differ_most(a, b, side=8) == (22, 41, 8)
    assert where_they_differ_most(a, a, side=64) == (0, 0, 40)
