"""What no single key shows: options that are each valid and cannot be meant together."""

from collections.abc import Callable

from lrfdn_arch.options.dataset import Dataset
from lrfdn_arch.options.faults import Fault
from lrfdn_arch.options.root import KNOWN_MODELS, Options, TestOptions, TrainOptions
from lrfdn_arch.text import unknown

# What BasicSR's own models can build.
BASICSR_OPTIMIZERS = ("Adam",)
BASICSR_SCHEDULERS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR")
_PAIRED = ("PairedLMDBDataset", "PairedImageDataset")


def contradictions(options: Options) -> list[Fault]:
    """Return all contradictions in ``options``. Imports torch, for the networks' smallest size."""
    checks: list[Callable[..., list[Fault]]] = [_network, _validation, _precision, _paths]
    if isinstance(options, TrainOptions):
        checks += [_train_set, _schedule, _ema, _foreign_model]
    if isinstance(options, TestOptions):
        checks += [_test_phases]
    return [fault for check in checks for fault in check(options)]


def _network(options: Options) -> list[Fault]:
    if options.network_g.type not in ("LRFDN", "RFDN"):
        return []
    arguments = options.network_g.arguments()
    upscale = arguments.get("upscale", 4)
    if upscale != options.scale:
        said = "" if "upscale" in arguments else " (the default)"
        expected = f"expected {options.scale} as in 'scale', found {upscale}{said}"
        return [Fault(("network_g", "upscale"), expected)]
    return _minimum_patch(options)


def _minimum_patch(options: Options) -> list[Fault]:
    from lrfdn_arch.archs.padding import MIN_SIZE

    dataset = options.datasets.get("train")
    if dataset is None or dataset.gt_size is None or dataset.gt_size // options.scale >= MIN_SIZE:
        return []
    return [
        Fault(
            ("datasets", "train", "gt_size"),
            f"{options.network_g.type} trains on LR patches of {MIN_SIZE} pixels or more, so at "
            f"scale {options.scale} expected at least {MIN_SIZE * options.scale} (smaller ones "
            "would be padded, and the padding learned)",
            dataset.gt_size,
        )
    ]


def _validation(options: Options) -> list[Fault]:
    val, faults = options.val, []
    if val is None:
        return faults
    if val.best_metric is not None and val.best_metric not in (val.metrics or {}):
        said = unknown(val.best_metric, val.metrics or {}, "metric")
        faults.append(Fault(("val", "best_metric"), said))
    if val.tile_size and val.tile_overlap >= val.tile_size:
        expected = f"expected less than tile_size, {val.tile_size}"
        faults.append(Fault(("val", "tile_overlap"), expected, val.tile_overlap))
    if isinstance(options, TrainOptions) and val.val_freq and not options.phases("val"):
        faults.append(
            Fault(("datasets", "val"), "val:val_freq asks for validation, but on no data")
        )
    return faults


def _precision(options: Options) -> list[Fault]:
    faults = []
    if options.amp_bf16 and not options.use_amp:
        expected = "says nothing while use_amp is off; expected use_amp: true"
        faults.append(Fault(("amp_bf16",), expected))
    ours = isinstance(options, TrainOptions) and options.model_type == "LRFDNModel"
    if ours and options.val and options.val.use_amp and not options.use_amp:
        expected = "takes training's mixed precision, which is off; expected use_amp: true"
        faults.append(Fault(("val", "use_amp"), expected))
    return faults


def _paths(options: Options) -> list[Fault]:
    path = options.path
    if path.param_key_g in (None, "params", "params_ema") or path.pretrain_network_g:
        return []  # with a file, the file tells whether it has that key
    return [Fault(("path", "param_key_g"), "expected params or params_ema", path.param_key_g)]


def _train_set(options: TrainOptions) -> list[Fault]:
    dataset, key = options.datasets.get("train"), ("datasets", "train")
    if dataset is None:
        return [Fault(key, "this section is needed, with the images to train on")]
    faults = _names(options)
    if dataset.batch_size_per_gpu is None:
        faults.append(Fault((*key, "batch_size_per_gpu"), "needed, a whole number above 0"))
    if dataset.type in _PAIRED:
        faults += _paired_training_set(dataset, options.scale)
    for phase in options.datasets:
        if phase.startswith("test"):
            expected = (
                "test phases belong in a file for test.py; for validation use val, val_2, ..."
            )
            faults.append(Fault(("datasets", phase), expected))
    return faults


def _names(options: TrainOptions) -> list[Fault]:
    """Validation sets are told apart by ``name``, in every record of a run."""
    seen: dict[str, str] = {}
    faults = []
    for phase in options.phases("val"):
        name = options.datasets[phase].name
        if name in seen:
            expected = f"expected another name than {seen[name]} has"
            faults.append(Fault(("datasets", phase, "name"), expected, name))
        seen.setdefault(name, phase)
    return faults


def _paired_training_set(dataset: Dataset, scale: int) -> list[Fault]:
    key = ("datasets", "train")
    faults = [
        Fault((*key, name), "needed, a folder or .lmdb of images")
        for name in ("dataroot_gt", "dataroot_lq")
        if getattr(dataset, name) is None
    ]
    if dataset.gt_size is None:
        faults.append(Fault((*key, "gt_size"), "needed, the side of the HR patches in pixels"))
    elif dataset.gt_size % scale:
        faults.append(
            Fault((*key, "gt_size"), f"expected a multiple of scale {scale}", dataset.gt_size)
        )
    return faults


# What each curve reads besides ``type``; another curve's key would do nothing.
_MULTI_STEP = {"milestones", "gamma", "restarts", "restart_weights"}
_CURVE_KEYS = {
    "MultiStepLR": _MULTI_STEP,
    "MultiStepRestartLR": _MULTI_STEP,
    "CosineAnnealingRestartLR": {"periods", "restart_weights", "eta_min"},
    "CosineAnnealingLR": {"T_max", "eta_min"},
    "OneCycleLR": {"pct_start", "div_factor", "final_div_factor"},
    "ConstantLR": set(),
}


def _schedule(options: TrainOptions) -> list[Fault]:
    train, key = options.train, ("train", "scheduler")
    curve, faults = train.scheduler, []
    used = _CURVE_KEYS[curve.type]
    for name in sorted(curve.model_fields_set - used - {"type"}):
        takes = f"takes {', '.join(sorted(used))}" if used else "takes no other key"
        faults.append(Fault((*key, name), f"{curve.type} does not read this; it {takes}"))
    if train.warmup_iter >= train.total_iter:
        expected = f"expected less than total_iter, {train.total_iter}"
        faults.append(Fault(("train", "warmup_iter"), expected, train.warmup_iter))
    if curve.type.startswith("MultiStep") and not curve.milestones:
        faults.append(Fault((*key, "milestones"), "needed, e.g. [200000, 400000]"))
    if "restart_weights" in used and len(curve.restart_weights) != len(_pieces(options)):
        expected = f"expected as many as there are {_pieces_name(options)}, {len(_pieces(options))}"
        faults.append(Fault((*key, "restart_weights"), expected, list(curve.restart_weights)))
    if curve.type == "CosineAnnealingRestartLR" and sum(curve.periods) < train.total_iter:
        expected = f"expected periods that add up to total_iter, {train.total_iter}, or more"
        faults.append(Fault((*key, "periods"), expected, list(curve.periods)))
    if curve.eta_min >= train.optim_g.lr:
        expected = f"expected less than optim_g:lr, {train.optim_g.lr}"
        faults.append(Fault((*key, "eta_min"), expected, curve.eta_min))
    if curve.type == "OneCycleLR" and train.warmup_iter > 0:
        expected = "OneCycleLR has its own rise; expected -1"
        faults.append(Fault(("train", "warmup_iter"), expected, train.warmup_iter))
    return faults


def _pieces(options: TrainOptions) -> tuple[int, ...]:
    curve = options.train.scheduler
    if curve.type == "CosineAnnealingRestartLR":
        return curve.periods
    return curve.restarts


def _pieces_name(options: TrainOptions) -> str:
    cosine = options.train.scheduler.type == "CosineAnnealingRestartLR"
    return "periods" if cosine else "restarts"


def _ema(options: TrainOptions) -> list[Fault]:
    faults = []
    for name in ("pixel_opt", "perceptual_opt"):
        loss = getattr(options.train, name)
        if loss is not None and loss.arguments().get("reduction") == "none":
            key = ("train", name, "reduction")
            faults.append(Fault(key, "a loss is one number; expected mean or sum", "none"))
    ema_off = options.train.ema_decay == 0
    weights = options.val.weights if options.val else None
    if ema_off and weights in ("ema", "both"):
        expected = "asks for the EMA weights while train:ema_decay is 0; expected raw, or an EMA"
        faults.append(Fault(("val", "weights"), expected, weights))
    if not (options.train.pixel_opt or options.train.perceptual_opt) and (
        options.model_type in KNOWN_MODELS
    ):
        faults.append(Fault(("train", "pixel_opt"), "needed, e.g. {type: L1Loss}"))
    return faults


def _foreign_model(options: TrainOptions) -> list[Fault]:
    """Options that only our model understands, with a model that would ignore or refuse them."""
    if options.model_type == "LRFDNModel":
        return []
    train = options.train
    ours = {
        ("use_amp",): options.use_amp,
        ("use_channels_last",): options.use_channels_last,
        ("use_compile",): options.use_compile,
        ("val", "use_amp"): options.val is not None and options.val.use_amp,
        ("path", "init"): options.path.init is not None,
        ("train", "grad_clip_max_norm"): train.grad_clip_max_norm,
        ("datasets", "train", "accum_iter"): _accumulates(options),
        ("train", "optim_g", "type"): train.optim_g.type not in BASICSR_OPTIMIZERS,
        ("train", "scheduler", "type"): train.scheduler.type not in BASICSR_SCHEDULERS,
    }
    expected = f"{options.model_type} does not know this; expected model_type: LRFDNModel"
    return [Fault(key, expected) for key, is_ours in ours.items() if is_ours]


def _accumulates(options: TrainOptions) -> bool:
    dataset = options.datasets.get("train")
    return dataset is not None and dataset.accum_iter > 1


def _test_phases(options: TestOptions) -> list[Fault]:
    if options.phases("test") or options.phases("val"):
        return []
    return [Fault(("datasets",), "expected at least one phase test, test_1, ... to test on")]
