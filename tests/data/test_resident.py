"""A training set in the device's memory: the loader's batches, bit for bit; here on the CPU."""

from itertools import islice
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from small_lmdbs import photograph
from torch.utils.data import DataLoader

from lrfdn_arch.data import resident
from lrfdn_arch.data.paired_lmdb_dataset import PairedLMDBDataset, collate, to_device
from lrfdn_arch.data.resident import ResidentPairs
from lrfdn_arch.data.sampler import EndlessSampler, SampleKey
from lrfdn_arch.training import loader

CPU = torch.device("cpu")
COUNT, SCALE = 5, 4


@pytest.fixture(params=[("ppm", 3), ("png", 1)], ids=["RGB as PPM", "grey as PNG"])
def opt(request, make_lmdb) -> dict[str, Any]:
    codec, channels = request.param
    gt = {f"im{i}": photograph(96 + 8 * i, 104, channels, seed=i) for i in range(COUNT)}
    lq = {key: np.ascontiguousarray(image[::SCALE, ::SCALE]) for key, image in gt.items()}
    roots = {"dataroot_gt": make_lmdb("HR", gt, codec), "dataroot_lq": make_lmdb("LR", lq, codec)}
    return {**roots, "scale": SCALE, "phase": "train", "gt_size": 48, "seed": 7}


@pytest.mark.parametrize("output", ["uint8", "float32"])
@pytest.mark.parametrize("position", [0, 23])
def test_batches_equal_those_of_the_loader(opt, output, position) -> None:
    drawn = set()
    for rank in range(2):  # of two processes
        sampler = EndlessSampler(COUNT, seed=3, rank=rank, world_size=2)
        sampler.load_state_dict(sampler.state_dict(position))
        dataset = PairedLMDBDataset({**opt, "output": output})
        read = DataLoader(dataset, 8, sampler=sampler, collate_fn=collate)  # type: ignore[arg-type]
        expected = list(islice(read, 6))
        sampler.load_state_dict(sampler.state_dict(position))
        pairs = ResidentPairs(dataset, CPU)
        kept = DataLoader(pairs, 8, sampler=sampler, collate_fn=dict)  # type: ignore[arg-type]
        for found, batch in zip(islice(kept, 6), expected, strict=True):
            assert found["lq"].dtype == found["gt"].dtype == torch.uint8
            assert (found["lq_path"], found["gt_path"]) == (batch["lq_path"], batch["gt_path"])
            for layout in (torch.contiguous_format, torch.channels_last):
                ours = to_device(found, CPU, memory_format=layout)
                theirs = to_device(batch, CPU, memory_format=layout)
                assert torch.equal(ours["lq"], theirs["lq"])
                assert torch.equal(ours["gt"], theirs["gt"])
                assert ours["gt"].is_contiguous(memory_format=layout)
        places = (divmod(position + rank + 2 * n, COUNT) for n in range(48))
        drawn |= {dataset.draw(epoch, n, (24, 26))[2:] for epoch, n in places}
    assert len(drawn) == 8, "all flips and transpositions were compared"


def test_one_sample_equals_that_of_the_dataset(opt) -> None:
    dataset = PairedLMDBDataset({**opt, "output": "uint8"})
    found, expected = ResidentPairs(dataset, CPU)[SampleKey(2, 3)], dataset[SampleKey(2, 3)]
    assert torch.equal(found["lq"], expected["lq"]) and torch.equal(found["gt"], expected["gt"])


def test_sizes_that_meta_info_lacks_are_those_of_the_images(opt) -> None:
    for root in (opt["dataroot_gt"], opt["dataroot_lq"]):
        lines = (root / "meta_info.txt").read_text().splitlines()
        (root / "meta_info.txt").write_text("\n".join(line.split(" ")[0] for line in lines) + "\n")
    dataset = PairedLMDBDataset({**opt, "output": "uint8"})
    keys = [SampleKey(0, index) for index in range(COUNT)]
    found, expected = ResidentPairs(dataset, CPU).__getitems__(keys), [dataset[k] for k in keys]
    assert torch.equal(found["gt"], torch.stack([sample["gt"] for sample in expected]))


def test_a_set_larger_than_the_memory_is_refused_before_it_is_read(opt, monkeypatch) -> None:
    monkeypatch.setattr(resident, "free_memory", lambda device: 1000)
    with pytest.raises(
        ValueError, match=r"resident needs 0\.\d GB on cpu, 0\.0 GB are free;.*=fals"
    ):
        ResidentPairs(PairedLMDBDataset(opt), CPU)


def test_images_of_another_size_than_listed_are_named(opt) -> None:
    meta = opt["dataroot_lq"] / "meta_info.txt", opt["dataroot_gt"] / "meta_info.txt"
    for file, size in zip(meta, ("(24,26,", "(96,104,"), strict=True):
        other = "(25,26," if size == "(24,26," else "(100,104,"
        file.write_text(file.read_text().replace(size, other))
        assert other in file.read_text()
    with pytest.raises(ValueError, match=r"image 'im0' has the size \(24, 26, .*expected \(25, 26"):
        ResidentPairs(PairedLMDBDataset(opt), CPU)


@pytest.mark.parametrize("is_resident", [False, True])
def test_on_a_gpu_batches_come_in_order_and_the_host_stays_two_iterations_ahead(
    opt, monkeypatch, is_resident
) -> None:
    events: list[str] = []

    class Stream:  # of a GPU that is not there
        def record_event(self) -> Any:
            number = sum(event.startswith("used") for event in events)
            events.append(f"used {number}")
            return SimpleNamespace(synchronize=lambda: events.append(f"waited for {number}"))

        def wait_stream(self, other: "Stream") -> None:
            events.append("waits for copy")

    def copied(batch: Any, device: Any, **layout: Any) -> Any:
        events.append("copy")
        return batch

    current = Stream()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: torch.no_grad())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: current)
    monkeypatch.setattr(torch.Tensor, "record_stream", lambda self, stream: None)
    monkeypatch.setattr(loader, "to_device", copied)
    dataset = PairedLMDBDataset({**opt, "output": "uint8"})
    source = ResidentPairs(dataset, CPU) if is_resident else dataset
    sampler: Any = EndlessSampler(COUNT, seed=3)
    read = DataLoader(source, 2, sampler=sampler, collate_fn=dict if is_resident else collate)
    batches = loader.batches_on_device(read, torch.device("cuda"), torch.contiguous_format)
    names = []
    for number, batch in enumerate(islice(batches, 5)):
        names += batch["lq_path"]
        events.append(f"iteration {number}")
    order = EndlessSampler(COUNT, seed=3)
    assert names == [dataset.infos[key.index].key for key in islice(order, 10)]
    copies = [events[: events.index(f"iteration {n}")].count("copy") for n in range(5)]
    assert copies == ([1, 2, 3, 4, 5] if is_resident else [2, 3, 4, 5, 6]), "one ahead"
    waits = [event for event in events if event.startswith("waited")]
    assert waits == ["waited for 0", "waited for 1"]
    assert events.index("waited for 0") > events.index("iteration 2")
