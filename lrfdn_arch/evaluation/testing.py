"""Evaluation of a network on the test sets of an option file, for ``test.py``."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import nn

from lrfdn_arch.archs.lookup import build_network, find_registered
from lrfdn_arch.device import choose_device
from lrfdn_arch.evaluation.challenge import kit_timing
from lrfdn_arch.evaluation.competitor import weights_record
from lrfdn_arch.evaluation.complexity import count
from lrfdn_arch.evaluation.evaluate import describe_environment, write_results
from lrfdn_arch.evaluation.image_set import add_to_digest
from lrfdn_arch.evaluation.measure import (
    Measured,
    Upscale,
    averages,
    from_all_processes,
    has_own_test,
    measure,
    samples_of,
    save_under,
    through_model,
    through_network,
    to_pixels,
    validation_loader,
)
from lrfdn_arch.evaluation.metrics import basicsr_metrics, challenge_metrics
from lrfdn_arch.evaluation.results import Dataset, ImageScore, NetworkResult, Protocol, Results
from lrfdn_arch.options import Placement, TestOptions, check_files, to_basicsr
from lrfdn_arch.progress import progress_bar
from lrfdn_arch.weights import load_into, read_state_dict

_STORED = "stored "  # prefix of the metrics that are stored in results.json


def test(
    options: TestOptions, *, root: Path, only: Sequence[str] | None = None
) -> dict[str, list[Measured]]:
    """Test the network of ``options`` on its datasets, print tables and write results.

    ``root/results/NAME/DATASET`` gets ``results.json``, which ``lrfdn compare`` reads, and, where
    ``val: save_img`` is on, the images under ``root/results/NAME/visualization``. An existing
    results folder is renamed.

    Args:
        options: a checked option file.
        root: folder of ``results``, and of relative paths not found in the working directory.
        only: names of the datasets to test on; None for all.

    Returns:
        The images of each dataset, by its name, with the metrics of the option file.
    """
    device = choose_device(gpu=options.num_gpu != 0)
    opt = to_basicsr(options, root=root, placement=Placement(num_gpu=int(device.type == "cuda")))
    names = [dataset["name"] for dataset in opt["datasets"].values()]
    if unknown := [name for name in only or () if name not in names]:
        raise ValueError(f"--only {' '.join(unknown)}: expected one of {', '.join(names)}")
    datasets = {k: d for k, d in opt["datasets"].items() if only is None or d["name"] in only}
    check_files({**opt, "datasets": datasets}, ignore=("pretrain_network_g",))
    weights = opt["path"]["pretrain_network_g"]
    if weights is None:
        raise ValueError(
            "a test needs weights: set path: pretrain_network_g in the file, or "
            "--force_yml path:pretrain_network_g=FILE"
        )
    read_state_dict(weights, options.path.param_key_g)  # fail early: BasicSR takes seconds
    print(f"{options.network_g.type} x{options.scale}, weights {weights}, on {device}", flush=True)
    from basicsr.utils.misc import mkdir_and_rename

    tester = _Tester(options, opt, device)
    results_root = Path(opt["path"]["results_root"])
    mkdir_and_rename(str(results_root))
    results = {}
    for dataset in datasets.values():
        name = dataset["name"]
        results[name] = tester.test_on(dataset)
        means = averages(results[name])
        images = sorted(results[name], key=lambda image: image.name)
        rows = [*([i.name, *i.metrics.values()] for i in images), ["average", *means.values()]]
        table = tabulate(rows, headers=["image", *means], tablefmt="github", floatfmt=".4f")
        print(f"\n{name}\n\n{table}")
    first = results_root / next(iter(results))
    print(f"\nresults in {results_root}; next: lrfdn compare {first} --out report")
    return results


class _Tester:
    """The network of an option file, or its BasicSR model, with what is measured of its results."""

    def __init__(self, options: TestOptions, opt: dict[str, Any], device: torch.device) -> None:
        self._options, self._opt, self._device = options, opt, device
        self._val = opt.get("val") or {}
        self._metrics = basicsr_metrics(self._val.get("metrics") or {})
        asked = [metric["type"] for metric in (self._val.get("metrics") or {}).values()]
        scale, ssim = options.scale, "calculate_ssim" in asked
        self._protocol = Protocol(scale=scale, crop_border=scale, ssim=ssim)
        self._stored = challenge_metrics(scale, ssim=ssim)
        self._network, self._upscale = self._build()

    def _build(self) -> tuple[nn.Module, Upscale]:
        options, opt = self._options, self._opt
        model_class = find_registered("MODEL_REGISTRY", "model", options.model_type)
        if has_own_test(model_class):
            model = model_class(opt)
            return model.get_bare_model(model.net_g), through_model(model)
        network = build_network(opt["network_g"])
        load_into(network, opt["path"]["pretrain_network_g"], options.path.param_key_g)
        network = network.eval().to(self._device)
        if options.use_channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        tiles = {name: self._val[name] for name in ("tile_size", "tile_overlap") if self._val}
        return network, through_network(network, scale=options.scale, **tiles)

    def test_on(self, dataset_opt: dict[str, Any]) -> list[Measured]:
        """Return the images of a dataset with the metrics of the option file; store the rest."""
        from basicsr.data import build_dataset

        find_registered("DATASET_REGISTRY", "dataset", dataset_opt["type"])
        loader = validation_loader(build_dataset(dataset_opt))
        name, save = dataset_opt["name"], None
        if self._val.get("save_img"):
            folder = Path(self._opt["path"]["visualization"]) / name
            save = save_under(folder, self._val.get("suffix") or self._opt["name"])
        stored = {f"{_STORED}{key}": metric for key, metric in self._stored.items()}
        digest, kinds = hashlib.sha256(), set[tuple[int, bool]]()
        images: list[Measured] = []
        with progress_bar(len(loader), name) as bar:
            for sample in samples_of(loader):
                lr, gt = sample.lq, sample.gt
                lr = to_pixels(lr, 1.0) if lr.is_floating_point() else lr[0].permute(1, 2, 0)
                kinds.add((lr.shape[2], gt is not None))
                add_to_digest(digest, sample.name, [i for i in (lr.numpy(), gt) if i is not None])
                metrics = self._metrics
                if gt is not None and lr.shape[2] == 3:
                    metrics = metrics | stored
                images += measure(self._upscale, [sample], metrics, device=self._device, save=save)
                bar.update()
        images = from_all_processes(images)
        if kinds in ({(3, True)}, {(3, False)}):
            dataset = Dataset(
                name=name,
                count=len(images),
                has_ground_truth=(3, True) in kinds,
                sha256=digest.hexdigest(),
            )
            self._store(images, dataset)
        return [
            Measured(i.name, {n: i.metrics[n] for n in self._metrics}, i.runtime_ms) for i in images
        ]

    def _store(self, images: Sequence[Measured], dataset: Dataset) -> None:
        """Write ``results.json`` as ``lrfdn challenge`` does, without images."""
        opt, section = self._opt, dict(self._opt["network_g"])
        weights = Path(opt["path"]["pretrain_network_g"])
        scores = [
            ImageScore(
                name=i.name,
                runtime_ms=i.runtime_ms,
                **{key: i.metrics.get(f"{_STORED}{key}") for key in self._stored},
            )
            for i in sorted(images, key=lambda image: image.name)
        ]
        result = NetworkResult(
            label=re.sub(r"[^\w.+-]", "_", opt["name"]),
            network=section.pop("type"),
            arguments=section,
            data_range=1.0,
            weights=weights_record(weights, self._options.path.param_key_g),
            counts=count(self._network),
            images=tuple(scores),
            kit_timing=kit_timing(scores, self._device),
        )
        results = Results(
            protocol=self._protocol,
            dataset=dataset,
            environment=describe_environment(self._device),
            networks=(result,),
            has_images=False,
        )
        write_results(Path(opt["path"]["results_root"]) / dataset.name, results)
