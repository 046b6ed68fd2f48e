"""Samples cut from LMDBs: right pixels, right randomness, right complaints."""

import multiprocessing
import pickle
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from small_lmdbs import photograph
from torch.utils.data import DataLoader

from lrfdn_arch.data.lmdb_reader import open_reader
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset
from lrfdn_arch.data.sampler import EndlessSampler, SampleKey

SCALE = 4


def shrink(image: np.ndarray) -> np.ndarray:
    """Block means: commutes with every flip and rotation, so it tells whether a crop is aligned."""
    h, w, c = image.shape
    means = image.reshape(h // SCALE, SCALE, w // SCALE, SCALE, c).mean((1, 3))
    return np.rint(means).astype(np.uint8)


@pytest.fixture(params=["ppm", "png"])
def codec(request) -> str:
    return request.param


@pytest.fixture(params=[3, 1], ids=["colour", "grey"])
def channels(request) -> int:
    return request.param


def options(make_lmdb, codec="ppm", channels=3, count=5, **extra):
    gt = {f"im{i}": photograph(96 + 8 * i, 104, channels, seed=i) for i in range(count)}
    return {
        "name": "Test",
        "type": "PairedLMDBDataset",
        "dataroot_gt": str(make_lmdb("HR.lmdb", gt, codec)),
        "dataroot_lq": str(make_lmdb("LR.lmdb", {k: shrink(v) for k, v in gt.items()}, codec)),
        "io_backend": {"type": "lmdb"},
        "gt_size": 48,
        "use_hflip": True,
        "use_rot": True,
        "scale": SCALE,
        "phase": "train",
        **extra,
    }


def samples_equal(a, b) -> bool:
    return torch.equal(a["gt"], b["gt"]) and torch.equal(a["lq"], b["lq"])


def test_lr_and_hr_crops_stay_aligned_in_all_eight_positions(make_lmdb, codec, channels):
    dataset = PairedLMDBDataset(options(make_lmdb, codec, channels, output="uint8"))
    for epoch in range(40):
        sample = dataset[SampleKey(epoch, epoch % 5)]
        assert sample["gt"].shape == (channels, 48, 48)
        assert sample["gt"].dtype == torch.uint8
        expected = shrink(sample["gt"].permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(sample["lq"].permute(1, 2, 0).numpy(), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("use_hflip", "use_rot", "ways"), [(0, 0, 1), (1, 0, 2), (0, 1, 4), (1, 1, 8)]
)
def test_flips_and_rotations_are_equally_likely(make_lmdb, use_hflip, use_rot, ways):
    corners = np.arange(48 * 48, dtype=np.float64).reshape(48, 48, 1) / 10
    gt = {"im": np.rint(corners).astype(np.uint8)}
    opt = options(make_lmdb, channels=1, count=1, use_hflip=use_hflip, use_rot=use_rot)
    opt["dataroot_gt"] = str(make_lmdb("one.lmdb", gt))
    opt["dataroot_lq"] = str(make_lmdb("one_LR.lmdb", {"im": gt["im"][::4, ::4]}))
    dataset = PairedLMDBDataset(opt)  # the crop is the whole image, so only its turning differs
    square = gt["im"][..., 0]
    turned = [np.rot90(s, k) for s in (square, square[:, ::-1]) for k in range(4)]
    count = 800
    seen = Counter()
    for epoch in range(count):
        crop = dataset[SampleKey(epoch, 0)]["gt"][0].mul(255).round().byte().numpy()
        (way,) = [i for i, image in enumerate(turned) if np.array_equal(crop, image)]
        seen[way] += 1
    assert len(seen) == ways
    # 5 standard deviations of a binomial
    allowed = 5 * (count / ways * (1 - 1 / ways)) ** 0.5
    assert all(abs(n - count / ways) <= allowed for n in seen.values()), seen


def test_crops_reach_every_place(make_lmdb):
    opt = options(make_lmdb, channels=1, count=1, gt_size=92, use_hflip=False, use_rot=False)
    dataset = PairedLMDBDataset(opt)
    _, image = next(iter(open_reader(opt["dataroot_gt"]).images()))
    places = {
        (y, x): image[4 * y : 4 * y + 92, 4 * x : 4 * x + 92, 0] for y in range(2) for x in range(4)
    }
    seen = Counter()
    for epoch in range(400):
        crop = dataset[SampleKey(epoch, 0)]["gt"][0].mul(255).round().byte().numpy()
        seen.update(place for place, at in places.items() if np.array_equal(crop, at))
    assert set(seen) == set(places)
    assert min(seen.values()) > 20


def test_a_sample_depends_on_seed_epoch_and_index_alone(make_lmdb):
    opt = options(make_lmdb)
    dataset, again = PairedLMDBDataset(opt), PairedLMDBDataset(opt)
    other = PairedLMDBDataset({**opt, "seed": 1})
    assert samples_equal(dataset[SampleKey(3, 2)], again[SampleKey(3, 2)])
    assert not samples_equal(dataset[SampleKey(3, 2)], dataset[SampleKey(4, 2)])
    assert not samples_equal(dataset[SampleKey(3, 2)], other[SampleKey(3, 2)])
    manual = PairedLMDBDataset({**opt, "manual_seed": 1})
    assert samples_equal(manual[SampleKey(3, 2)], other[SampleKey(3, 2)])


def batches(dataset, workers: int, context: str | None = None) -> list[dict]:
    loader = DataLoader(
        dataset,
        batch_size=3,
        sampler=EndlessSampler(len(dataset), seed=7),
        num_workers=workers,
        multiprocessing_context=context,
    )
    iterator = iter(loader)
    taken = list(islice(iterator, 4))
    del iterator
    return taken


@pytest.mark.parametrize(
    ("context", "workers"),
    [("fork", 1), ("fork", 2), pytest.param("spawn", 2, marks=pytest.mark.slow)],
)
def test_batches_are_the_same_for_any_number_of_workers(make_lmdb, context, workers):
    dataset = PairedLMDBDataset(options(make_lmdb))
    alone = batches(dataset, 0)  # leaves the LMDBs open: forked workers inherit them
    for a, b in zip(alone, batches(dataset, workers, context), strict=True):
        assert samples_equal(a, b)
        assert a["gt_path"] == b["gt_path"]


def test_plain_indices_give_another_crop_every_time(make_lmdb):
    dataset = PairedLMDBDataset(options(make_lmdb))
    torch.manual_seed(0)
    loader = DataLoader(dataset, batch_size=5, num_workers=1)
    epochs = [next(iter(loader))["gt"] for _ in range(3)]
    assert not torch.equal(epochs[0], epochs[1])
    assert not torch.equal(epochs[1], epochs[2])
    torch.manual_seed(0)
    assert torch.equal(next(iter(loader))["gt"], epochs[0])
    assert not samples_equal(dataset[1], dataset[1])


def test_validation_gives_whole_images_and_cuts_hr_to_lr(make_lmdb, codec, channels):
    opt = options(make_lmdb, codec, channels, phase="val", count=2)
    gt = photograph(99, 106, channels)
    opt["dataroot_gt"] = str(make_lmdb("V.lmdb", {"a": gt}, codec))
    opt["dataroot_lq"] = str(make_lmdb("V_LR.lmdb", {"a": shrink(gt[:96, :104])}, codec))
    dataset = PairedLMDBDataset(opt)
    assert len(dataset) == 1
    sample = dataset[0]
    assert sample["gt"].dtype == torch.float32
    expected = gt[:96, :104].astype(np.float32).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(sample["gt"].numpy(), expected)
    assert sample["lq"].shape == (channels, 24, 26)


def test_an_open_dataset_can_be_pickled(make_lmdb):
    dataset = PairedLMDBDataset(options(make_lmdb))
    before = dataset[SampleKey(0, 0)]
    copy = pickle.loads(pickle.dumps(dataset))
    assert samples_equal(before, copy[SampleKey(0, 0)])


def test_nothing_is_left_open_before_the_first_sample(make_lmdb):
    opt = options(make_lmdb)
    PairedLMDBDataset(opt)
    import lmdb

    with lmdb.open(opt["dataroot_gt"], readonly=True, lock=False) as again:  # refuses if it is open
        assert again.stat()["entries"] == 5


def test_two_datasets_may_read_the_same_lmdb(make_lmdb):
    opt = options(make_lmdb)
    first, second = PairedLMDBDataset(opt), PairedLMDBDataset(opt)
    assert samples_equal(first[SampleKey(0, 1)], second[SampleKey(0, 1)])
    first.close()
    assert samples_equal(first[SampleKey(0, 2)], second[SampleKey(0, 2)])


def test_indices_behave_like_a_sequence(make_lmdb):
    dataset = PairedLMDBDataset(options(make_lmdb, phase="val"))
    assert dataset[-1]["gt_path"] == "im4"
    with pytest.raises(IndexError, match="5 of a dataset of 5"):
        dataset[5]
    assert [sample["lq_path"] for sample in dataset] == [f"im{i}" for i in range(5)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gt_size": 50}, "multiple of the scale 4, found 50. Use 48 or 52"),
        ({"gt_size": None}, "gt_size"),
        ({"gt_size": 112}, r"112 is larger than 5 of the 5 .*im0 \(104x96x3\).* up to 96"),
        ({"scale": 2}, r"scale 2: expected HR 2 times .*im0 \(LR 26x24x3, HR 104x96x3\)"),
        ({"scale": None}, "scale is missing"),
        ({"io_backend": {"type": "disk"}}, "found 'disk'"),
        ({"output": "float16"}, "output must be"),
        ({"color": "y"}, "--grey"),
        ({"mean": [0.5]}, "no option mean"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_that_cannot_work_are_refused_before_the_first_sample(make_lmdb, change, words):
    with pytest.raises(ValueError, match=words):
        PairedLMDBDataset(options(make_lmdb, **change))


def test_lr_of_other_images_is_refused_by_name(make_lmdb):
    opt = options(make_lmdb)
    opt["dataroot_lq"] = str(make_lmdb("X.lmdb", {"other": photograph(24, 26)}))
    with pytest.raises(ValueError, match=r"LR, 1 images.*HR, 5 images.*only in LR: other"):
        PairedLMDBDataset(opt)


def test_workers_do_not_outlive_the_test():
    assert not multiprocessing.active_children()
