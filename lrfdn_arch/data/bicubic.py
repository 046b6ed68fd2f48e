"""MATLAB's ``imresize(image, scale)``, bicubic and antialiased, to the last pixel.

The kernel is Keys' with a = -1/2 (R. Keys, IEEE Trans. ASSP 29(6), 1981), widened by 1/scale when
shrinking. MATLAB resizes the rows first, then the columns, in float64, and rounds uint8 images to
uint8 after each of the two passes, half away from zero.

Adding 16 float64 products one by one for every pixel is slow, so uint8 images are computed in
float32 by matrix products, which are much faster and wrong by less than `_DOUBT`. Where that could
change the rounded result (mostly ties: at 1/3 one sum in 162 is one) the pixel is computed again as
MATLAB does.
"""

from math import ceil

import cv2
import numpy as np

_BLOCK = 8  # output rows per matrix product: more would multiply by more zeros
_CHUNK = 128  # columns per matrix product: few enough that OpenBLAS stays on one thread
# float32 sums of 40 products, 255 * 1.5 in total, are off by less than 40 * 2**-24 * 255 * 1.5
_DOUBT = np.float32(1e-3)


def imresize(image: np.ndarray, scale: float) -> np.ndarray:
    """Resize ``image`` like MATLAB's ``imresize`` with its default arguments.

    Args:
        image: (H, W) or (H, W, C), any colour order. uint8 is rounded after each pass; floating
            point is neither rounded nor clipped, and computed in float64.
        scale: the factor, above 0; the result has ``ceil(H * scale)`` by ``ceil(W * scale)``
            pixels.

    Returns:
        A new array of the same dtype and number of dimensions.

    Raises:
        ValueError: another dtype or shape, an empty image, or a scale that is not above 0.
    """
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ValueError(f"imresize expects an image (H, W) or (H, W, C), found {image.shape}.")
    if not 0 < scale < float("inf"):
        raise ValueError(f"imresize expects a scale above 0, found {scale}.")
    if image.dtype == np.uint8:
        resize_rows = _resize_rows_uint8
    elif np.issubdtype(image.dtype, np.floating):
        resize_rows = _resize_rows_float
    else:
        raise ValueError(f"imresize expects uint8 or floating point, found {image.dtype}.")
    for _ in range(2):  # rows, then columns, which the transposition turns into rows
        height, width = image.shape[:2]
        resized = resize_rows(image.reshape(height, -1), *_taps(height, scale))
        image = _transpose(resized.reshape(len(resized), width, *image.shape[2:]))
    return image


def _transpose(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8 and image.shape[2:] in ((), (1,), (3,)):
        # fifteen times as fast as numpy
        return cv2.transpose(image).reshape(image.shape[1], image.shape[0], *image.shape[2:])
    return np.ascontiguousarray(image.swapaxes(0, 1))


def _cubic(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    square = x * x
    cube = square * x  # numpy's ** differs by a bit between processors, which decides ties
    near = 1.5 * cube - 2.5 * square + 1
    far = -0.5 * cube + 2.5 * square - 4 * x + 2
    return near * (x <= 1) + far * ((x > 1) & (x <= 2))


def _taps(length: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return MATLAB's ``contributions``: the input rows of each output row, reflected at the
    borders, and their weights in float64; both (out, taps).
    """
    shrink = min(scale, 1.0)
    width = 4 / shrink
    # pixels are counted from 1, as in MATLAB, up to the reflection
    position = np.arange(1, ceil(length * scale) + 1) / scale + 0.5 * (1 - 1 / scale)
    first = np.floor(position - width / 2)
    rows = first[:, None] + np.arange(ceil(width) + 2)
    weights = shrink * _cubic(shrink * (position[:, None] - rows))
    weights /= weights.sum(1, keepdims=True)
    reflected = np.concatenate([np.arange(length), np.arange(length)[::-1]])
    rows = reflected[(rows.astype(np.int64) - 1) % (2 * length)]
    used = weights.any(0)
    return rows[:, used], weights[:, used]


def _resize_rows_float(image: np.ndarray, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    total = np.zeros((len(rows), image.shape[1]))
    for row, weight in zip(rows.T, weights.T, strict=True):
        total += weight[:, None] * image[row]
    return total.astype(image.dtype)


def _resize_rows_uint8(
    image: np.ndarray, all_rows: np.ndarray, all_weights: np.ndarray
) -> np.ndarray:
    columns = image.shape[1]
    chunks = -(-columns // _CHUNK)
    result = np.empty((len(all_rows), columns), np.uint8)
    doubtful: list[np.ndarray] = []
    exact = _sums_are_exact(all_weights)
    for start in range(0, len(result), _BLOCK):
        rows, weights = (array[start : start + _BLOCK] for array in (all_rows, all_weights))
        low, high = rows.min(), rows.max() + 1
        matrix = np.zeros((len(rows), high - low))
        np.add.at(matrix, (np.arange(len(rows))[:, None], rows - low), weights)
        source = np.empty((high - low, chunks * _CHUNK), np.float32)
        source[:, :columns] = image[low:high]
        source[:, columns:] = 0
        sums = np.empty((len(rows), chunks * _CHUNK), np.float32)
        np.matmul(matrix.astype(np.float32), _in_chunks(source), out=_in_chunks(sums))
        sums = sums[:, :columns]
        np.clip(sums, 0, 255, out=sums)
        sums += np.float32(0.5)
        rounded = result[start : start + _BLOCK]
        rounded[...] = sums  # nothing is negative, so truncation rounds half away from zero
        if not exact:
            sums -= rounded
            sums -= np.float32(0.5)
            np.abs(sums, out=sums)
            near_tie = sums > np.float32(0.5) - _DOUBT
            doubtful.append(np.flatnonzero(near_tie) + start * columns)
    if doubtful:  # computed as MATLAB does
        out, column = np.divmod(np.concatenate(doubtful), columns)
        total = np.zeros(len(out))
        for tap in range(all_rows.shape[1]):  # one by one: the order decides the ties
            total += all_weights[out, tap] * image[all_rows[out, tap], column]
        result[out, column] = np.floor(np.clip(total, 0, 255) + 0.5)
    return result


def _in_chunks(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1, _CHUNK).swapaxes(0, 1)


def _sums_are_exact(weights: np.ndarray) -> bool:
    """Whether float32 holds every partial sum: multiples of 2**-14 below 2**10 fit its 24 bits.

    This is so at 1/2 and 1/4, whose weights are fractions of small powers of two.
    """
    scaled = weights * 2.0**14
    return bool((scaled == np.rint(scaled)).all() and np.abs(weights).sum(1).max() < 4)
