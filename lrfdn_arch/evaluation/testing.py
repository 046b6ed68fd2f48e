"""Measure a network on the test sets of an option file, image by image."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lrfdn_arch.archs.lookup import build_network, find_registered
from lrfdn_arch.evaluation.measure import (
    ImageResult,
    ValidationResult,
    save_under,
    validate,
    validation_loader,
)
from lrfdn_arch.evaluation.test_results import results_table, write_metrics
from lrfdn_arch.evaluation.validation_upscaler import upscaler
from lrfdn_arch.options import Placement, TestOptions, to_basicsr
from lrfdn_arch.weights import load_into, read_state_dict

# Models that are their network and nothing more; any other is built by BasicSR and asked to test.
_PLAIN_MODELS = ("LRFDNModel", "SRModel")


def test(
    options: TestOptions, *, root: Path, only: Sequence[str] | None = None
) -> dict[str, ValidationResult]:
    """Test the network of ``options`` on its datasets; print tables, write results.

    ``root/results/NAME`` gets ``metrics.json`` and, where ``val: save_img`` is on, the images under
    ``visualization``. A folder of that name from an earlier test is kept under another name.

    Args:
        options: a checked option file.
        root: the folder of ``results``, and of relative paths that the working directory lacks.
        only: names of the datasets to test on; all by default.

    Returns:
        The result of each dataset by its name.

    Raises:
        FileNotFoundError: weights or images are not there; checked before anything is built.
        ValueError: weights do not fit, a type is not registered, LR and HR do not belong together.
    """
    device = _device(options)
    opt = to_basicsr(options, root=root, placement=Placement(num_gpu=int(device.type == "cuda")))
    datasets = _chosen(opt["datasets"], only)
    check_datasets(datasets)
    _check_weights(options, opt["path"]["pretrain_network_g"])
    weights = opt["path"]["pretrain_network_g"]
    print(f"{options.network_g.type} x{options.scale}, weights {weights}, on {device}", flush=True)
    upscale = _upscale(options, opt, device)
    results_root = Path(opt["path"]["results_root"])
    _make_anew(results_root)
    results = {}
    for dataset in datasets.values():
        name = dataset["name"]
        results[name] = _test_on(dataset, opt, upscale, device)
        print(f"\n{name}\n\n{results_table(results[name])}")
    write_metrics(results_root / "metrics.json", opt, results)
    print(f"\nwritten: {results_root}")
    return results


def check_datasets(datasets: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise FileNotFoundError naming every folder or LMDB of ``datasets`` that is not there."""
    missing = [
        f"  datasets:{phase}:{key}: {path}"
        for phase, dataset in datasets.items()
        for key in ("dataroot_gt", "dataroot_lq", "dataroot")
        for path in _as_list(dataset.get(key))
        if not Path(path).exists()
    ]
    if missing:
        raise FileNotFoundError(
            "images are missing:\n"
            + "\n".join(missing)
            + "\ndatasets/README.md says where each set comes from and the command that makes it; "
            "the first lines of the option file say which it needs"
        )


def _as_list(paths: str | list[str] | None) -> list[str]:
    return [paths] if isinstance(paths, str) else paths or []


def _chosen(datasets: dict[str, Any], only: Sequence[str] | None) -> dict[str, Any]:
    known = [dataset["name"] for dataset in datasets.values()]
    unknown = [name for name in only or () if name not in known]
    if unknown:
        raise ValueError(f"--only {' '.join(unknown)}: the file has {', '.join(known)}")
    return {k: d for k, d in datasets.items() if only is None or d["name"] in only}


def _check_weights(options: TestOptions, path: str | None) -> None:
    if path is None:
        raise ValueError(
            "a test needs weights: set path: pretrain_network_g in the file, or "
            "--force_yml path:pretrain_network_g=FILE"
        )
    read_state_dict(path, options.path.param_key_g)  # before the seconds that BasicSR takes


def _device(options: TestOptions) -> torch.device:
    use_gpu = options.num_gpu != 0 and torch.cuda.is_available()
    return torch.device("cuda" if use_gpu else "cpu")


def _upscale(
    options: TestOptions, opt: dict[str, Any], device: torch.device
) -> Callable[[Tensor], Tensor]:
    """Return the network, or a model of BasicSR's that is more than its network, as a function."""
    if options.model_type not in _PLAIN_MODELS:
        model = find_registered("MODEL_REGISTRY", "model", options.model_type)(opt)

        def through_model(lq: Tensor) -> Tensor:
            model.feed_data({"lq": lq})
            model.test()
            return model.get_current_visuals()["result"]

        return through_model
    network = build_network(opt["network_g"])
    load_into(network, opt["path"]["pretrain_network_g"], options.path.param_key_g)
    network = network.eval().to(device)
    if options.use_channels_last:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    val = options.val
    return upscaler(
        network,
        scale=options.scale,
        tile_size=val.tile_size if val else 0,
        tile_overlap=val.tile_overlap if val else 0,
    )


def _test_on(
    dataset_opt: dict[str, Any],
    opt: dict[str, Any],
    upscale: Callable[[Tensor], Tensor],
    device: torch.device,
) -> ValidationResult:
    from basicsr.data import build_dataset
    from tqdm import tqdm

    find_registered("DATASET_REGISTRY", "dataset", dataset_opt["type"])
    loader = validation_loader(build_dataset(dataset_opt))
    val = opt.get("val") or {}
    folder = Path(opt["path"]["visualization"]) / dataset_opt["name"]
    save = save_under(folder, val.get("suffix") or opt["name"]) if val.get("save_img") else None
    with tqdm(total=len(loader), desc=dataset_opt["name"], unit="image") as bar:

        def advance(_result: ImageResult) -> None:
            bar.update()

        return validate(
            upscale,
            loader,
            val.get("metrics"),
            device=device,
            save=save,
            on_image=advance,
        )


def _make_anew(folder: Path) -> None:
    from basicsr.utils.misc import mkdir_and_rename

    mkdir_and_rename(str(folder))
