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
from lrfdn_arch.evaluation.challenge import counts_of, kit_timing
from lrfdn_arch.evaluation.competitor import weights_record
from lrfdn_arch.evaluation.environment import describe_environment
from lrfdn_arch.evaluation.evaluate import write_results
from lrfdn_arch.evaluation.images import Image
from lrfdn_arch.evaluation.inspection import add_to_digest
from lrfdn_arch.evaluation.measure import (
    Measured,
    Sample,
    averages,
    from_all_processes,
    measure,
    samples_of,
    save_under,
    to_pixels,
    validation_loader,
)
from lrfdn_arch.evaluation.metrics import basicsr_metrics, challenge_metrics
from lrfdn_arch.evaluation.results import Dataset, ImageScore, NetworkResult, Protocol, Results
from lrfdn_arch.evaluation.upscaling import Upscale, has_own_test, through_model, through_network
from lrfdn_arch.options import Placement, TestOptions, check_files, to_basicsr
from lrfdn_arch.progress import progress_bar
from lrfdn_arch.weights import load_into, read_state_dict

_SHARED = "shared "  # prefix of the metrics that are stored in results.json


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
    datasets = _chosen(opt["datasets"], only)
    check_files({**opt, "datasets": datasets}, ignore=("pretrain_network_g",))
    weights = opt["path"]["pretrain_network_g"]
    _check_weights(options, weights)
    print(f"{options.network_g.type} x{options.scale}, weights {weights}, on {device}", flush=True)
    network, upscale = _build(options, opt, device)
    results_root = Path(opt["path"]["results_root"])
    _archive(results_root)
    results = {}
    for dataset in datasets.values():
        name = dataset["name"]
        results[name] = _test_on(dataset, options, opt, network, upscale, device)
        print(f"\n{name}\n\n{results_table(results[name])}")
    first = results_root / next(iter(results))
    print(f"\nresults in {results_root}; next: lrfdn compare {first} --out report")
    return results


def results_table(images: Sequence[Measured]) -> str:
    """Return a Markdown table with one row per image, sorted by name, and the average last."""
    means = averages(images)
    rows = [[i.name, *i.metrics.values()] for i in sorted(images, key=lambda image: image.name)]
    rows.append(["average", *means.values()])
    return tabulate(rows, headers=["image", *means], tablefmt="github", floatfmt=".4f")


def _chosen(datasets: dict[str, Any], only: Sequence[str] | None) -> dict[str, Any]:
    known = [dataset["name"] for dataset in datasets.values()]
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise ValueError(f"--only {' '.join(unknown)}: expected one of {', '.join(known)}")
    return {k: d for k, d in datasets.items() if only is None or d["name"] in only}


def _check_weights(options: TestOptions, path: str | None) -> None:
    if path is None:
        raise ValueError(
            "a test needs weights: set path: pretrain_network_g in the file, or "
            "--force_yml path:pretrain_network_g=FILE"
        )
    read_state_dict(path, options.path.param_key_g)  # fail early: importing BasicSR takes seconds


def _build(
    options: TestOptions, opt: dict[str, Any], device: torch.device
) -> tuple[nn.Module, Upscale]:
    """Return the network, and its upscaling function or that of its BasicSR model."""
    model_class = find_registered("MODEL_REGISTRY", "model", options.model_type)
    if has_own_test(model_class):
        model = model_class(opt)
        return model.get_bare_model(model.net_g), through_model(model)
    network = build_network(opt["network_g"])
    load_into(network, opt["path"]["pretrain_network_g"], options.path.param_key_g)
    network = network.eval().to(device)
    if options.use_channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    val = options.val
    return network, through_network(
        network,
        scale=options.scale,
        tile_size=val.tile_size if val else 0,
        tile_overlap=val.tile_overlap if val else 0,
    )


def _test_on(
    dataset_opt: dict[str, Any],
    options: TestOptions,
    opt: dict[str, Any],
    network: nn.Module,
    upscale: Upscale,
    device: torch.device,
) -> list[Measured]:
    from basicsr.data import build_dataset

    find_registered("DATASET_REGISTRY", "dataset", dataset_opt["type"])
    loader = validation_loader(build_dataset(dataset_opt))
    name, val = dataset_opt["name"], opt.get("val") or {}
    folder = Path(opt["path"]["visualization"]) / name
    save = save_under(folder, val.get("suffix") or opt["name"]) if val.get("save_img") else None
    asked = val.get("metrics") or {}
    protocol = Protocol(
        scale=options.scale,
        crop_border=options.scale,
        ssim=any(metric["type"] == "calculate_ssim" for metric in asked.values()),
    )
    own = basicsr_metrics(asked)
    shared = challenge_metrics(protocol.crop_border, ssim=protocol.ssim)
    stored = {f"{_SHARED}{key}": metric for key, metric in shared.items()}
    digest, kinds = hashlib.sha256(), set[tuple[int, bool]]()
    images: list[Measured] = []
    with progress_bar(len(loader), name) as bar:
        for sample in samples_of(loader):
            lr, gt = _pixels(sample), sample.gt
            kinds.add((lr.shape[2], gt is not None))
            add_to_digest(digest, sample.name, [lr] if gt is None else [lr, gt])
            metrics = own | stored if gt is not None and lr.shape[2] == 3 else own
            images += measure(upscale, [sample], metrics, device=device, save=save)
            bar.update()
    images = from_all_processes(images)
    if {channels for channels, _ in kinds} == {3} and len({has_gt for _, has_gt in kinds}) == 1:
        dataset = Dataset(
            name=name,
            count=len(images),
            has_ground_truth=(3, True) in kinds,
            sha256=digest.hexdigest(),
        )
        _write_results(images, protocol, dataset, options, opt, network, device)
    names = list(asked)
    return [Measured(i.name, {n: i.metrics[n] for n in names}, i.runtime_ms) for i in images]


def _pixels(sample: Sample) -> Image:
    lq = sample.lq
    return (to_pixels(lq, 1.0) if lq.is_floating_point() else lq[0].permute(1, 2, 0)).numpy()


def _write_results(
    images: Sequence[Measured],
    protocol: Protocol,
    dataset: Dataset,
    options: TestOptions,
    opt: dict[str, Any],
    network: nn.Module,
    device: torch.device,
) -> None:
    """Write ``results.json`` as ``lrfdn challenge`` does, without images."""
    scores = [
        ImageScore(
            name=image.name,
            runtime_ms=image.runtime_ms,
            **{
                metric.removeprefix(_SHARED): value
                for metric, value in image.metrics.items()
                if metric.startswith(_SHARED)
            },
        )
        for image in sorted(images, key=lambda image: image.name)
    ]
    section = dict(opt["network_g"])
    result = NetworkResult(
        label=re.sub(r"[^\w.+-]", "_", opt["name"]),
        network=section.pop("type"),
        arguments=section,
        data_range=1.0,
        weights=weights_record(Path(opt["path"]["pretrain_network_g"]), options.path.param_key_g),
        counts=counts_of(network),
        images=tuple(scores),
        kit_timing=kit_timing(scores, device),
    )
    results = Results(
        protocol=protocol,
        dataset=dataset,
        environment=describe_environment(device),
        networks=(result,),
        has_images=False,
    )
    write_results(Path(opt["path"]["results_root"]) / dataset.name, results)


def _archive(folder: Path) -> None:
    """Rename an existing folder with a timestamp, as BasicSR does."""
    from basicsr.utils.misc import mkdir_and_rename

    mkdir_and_rename(str(folder))
