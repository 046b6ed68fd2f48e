"""Checking that an LR and an HR LMDB belong together, and that a patch fits into them."""

from typing import Any

from lrfdn_arch.data.lmdb_reader import REMAKE, ImageInfo, LmdbReader
from lrfdn_arch.text import first_few


def check_pairs(lq: LmdbReader, gt: LmdbReader, scale: int, *, exact: bool = True) -> None:
    """Check by name and size that every LR image has an HR image ``scale`` times as large.

    Unless ``exact``, HR may have up to ``scale - 1`` more pixels at the right and at the bottom.

    Raises:
        ValueError: they do not belong together.
    """
    if not isinstance(scale, int) or scale < 1:
        raise ValueError(f"scale must be a whole number from 1, found {scale!r}.")
    lq_keys, gt_keys = ({info.key for info in reader.infos} for reader in (lq, gt))
    if lq_keys != gt_keys:
        only_lq = first_few(sorted(lq_keys - gt_keys))
        only_gt = first_few(sorted(gt_keys - lq_keys))
        raise ValueError(
            f"{lq.path} (LR, {len(lq_keys)} images) does not belong to {gt.path} (HR, "
            f"{len(gt_keys)} images): expected the same names; only in LR: {only_lq}; only in HR: "
            f"{only_gt}. Name two LMDBs that one `lrfdn prepare` made."
        )
    wrong = [
        f"{a.key} (LR {_size(a)}, HR {_size(b)})"
        for a, b in zip(lq.infos, gt.infos, strict=True)
        if a.channels != b.channels or not _fits(a, b, scale, exact)
    ]
    if wrong:
        raise ValueError(
            f"{lq.path} (LR) does not belong to {gt.path} (HR) at scale {scale}: expected HR "
            f"{scale} times as large as LR, found {first_few(wrong)}. Check the scale and both "
            f"names, or: {REMAKE}"
        )


def _fits(lq: ImageInfo, gt: ImageInfo, scale: int, exact: bool) -> bool:
    if 0 in (*lq.size, *gt.size):  # meta_info.txt has no sizes
        return True
    rest = [b - a * scale for a, b in zip(lq.size, gt.size, strict=True)]
    return all(0 <= r < (1 if exact else scale) for r in rest)


def check_patch(gt_size: Any, scale: int, gt: LmdbReader, name: str) -> int:
    """Return ``gt_size`` if patches of that many HR pixels can be cropped from every image.

    Raises:
        ValueError: it is not a multiple of the scale, or larger than an image.
    """
    if not isinstance(gt_size, int) or gt_size < 1:
        raise ValueError(f"{name}: gt_size (side of the HR patch) is missing, found {gt_size!r}.")
    if gt_size % scale:
        low = gt_size // scale * scale
        raise ValueError(
            f"{name}: gt_size must be a multiple of the scale {scale}, found {gt_size}. Use "
            f"{low or scale} or {low + scale}."
        )
    small = [info for info in gt.infos if 0 < min(info.size) < gt_size]
    if small:
        least = min(min(info.size) for info in small)
        raise ValueError(
            f"{name}: gt_size {gt_size} is larger than {len(small)} of the {len(gt.infos)} images "
            f"in {gt.path}: {first_few(f'{info.key} ({_size(info)})' for info in small)}. Use a "
            f"gt_size up to {least // scale * scale}, or leave small images out with "
            "`lrfdn prepare folder --min-size`."
        )
    return gt_size


def _size(info: ImageInfo) -> str:
    return f"{info.width}x{info.height}x{info.channels}"
