"""Options that are each valid and contradict each other."""

from collections.abc import Callable, Iterator

from lrfdn_arch.options.faults import Fault, KeyPath
from lrfdn_arch.options.root import KNOWN_MODELS, Options, TestOptions, TrainOptions
from lrfdn_arch.text import unknown

# What BasicSR's own models can build.
BASICSR_OPTIMIZERS = ("Adam",)
BASICSR_SCHEDULERS = ("MultiStepLR", "MultiStepRestartLR", "CosineAnnealingRestartLR")
_MOST_BLOCKS = 256  # building a thousand takes ten seconds; the deepest published ones have 200
_PAIRED = ("PairedLMDBDataset", "PairedImageDataset")
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


def contradictions(options: Options) -> list[Fault]:
    """Return all contradictions in ``options``. Imports torch, for the networks' smallest size."""
    checks: list[Callable[..., Iterator[Fault]]] = [_network, _validation, _precision]
    if isinstance(options, TrainOptions):
        checks += [_train_set, _validation_sets, _schedule, _losses, _foreign_model]
    faults = [fault for check in checks for fault in check(options)]
    if isinstance(options, TestOptions) and not options.phases("test") + options.phases("val"):
        expected = "expected at least one phase test, test_1, ... to test on"
        faults.append(Fault(("datasets",), expected))
    return faults


def _network(options: Options) -> Iterator[Fault]:
    import torch

    from lrfdn_arch.archs import ARCHITECTURES
    from lrfdn_arch.device import free_memory

    name, arguments, scale = options.network_g.type, options.network_g.arguments(), options.scale
    for key, value in arguments.items():
        if "num_block" in key and isinstance(value, int) and value > _MOST_BLOCKS:
            yield Fault(("network_g", key), f"expected at most {_MOST_BLOCKS}", value)
            return
    if name not in ARCHITECTURES:
        return
    try:
        with torch.device("meta"):  # neither time nor memory
            network = ARCHITECTURES[name].build(arguments)
    except (ValueError, RuntimeError) as error:
        yield Fault(("network_g",), str(error).splitlines()[0])
        return
    size, free = sum(p.nbytes for p in network.parameters()), free_memory(torch.device("cpu"))
    if size > free:
        expected = f"{name} would take {size / 1e9:,.1f} GB, but {free / 1e9:,.1f} GB are free"
        yield Fault(("network_g",), expected)
    if network.upscale != scale:
        default = "" if "upscale" in arguments else " (the default)"
        expected = f"expected {scale} as in 'scale', found {network.upscale}{default}"
        yield Fault(("network_g", "upscale"), expected)
        return
    smallest = getattr(network, "min_size", 1)
    sizes: dict[KeyPath, int | None] = {}
    if dataset := options.datasets.get("train"):
        sizes["datasets", "train", "gt_size"] = dataset.gt_size
    if isinstance(options, TrainOptions):
        sizes |= {("train", "patch_sizes", i): n for i, n in enumerate(options.train.patch_sizes)}
    expected = (
        f"{name} trains on LR patches of {smallest} pixels or more, so at scale {scale} expected "
        f"at least {smallest * scale} (smaller ones would be padded, and the padding learned)"
    )
    for key, side in sizes.items():
        if side and side // scale < smallest:
            yield Fault(key, expected, side)


def _validation(options: Options) -> Iterator[Fault]:
    val, path = options.val, options.path
    if path.param_key_g not in (None, "params", "params_ema") and not path.pretrain_network_g:
        # with a file, the file tells whether it has that key
        yield Fault(("path", "param_key_g"), "expected params or params_ema", path.param_key_g)
    if val is None:
        return
    metrics = val.metrics or {}
    if val.best_metric is not None and val.best_metric not in metrics:
        yield Fault(("val", "best_metric"), unknown(val.best_metric, metrics, "metric"))
    if val.tile_size and val.tile_overlap >= val.tile_size:
        expected = f"expected less than tile_size, {val.tile_size}"
        yield Fault(("val", "tile_overlap"), expected, val.tile_overlap)


def _precision(options: Options) -> Iterator[Fault]:
    if options.amp_bf16 and not options.use_amp:
        yield Fault(("amp_bf16",), "has no effect while use_amp is off; expected use_amp: true")
    ours = isinstance(options, TrainOptions) and options.model_type == "LRFDNModel"
    if ours and options.val and options.val.use_amp and not options.use_amp:
        expected = "takes training's mixed precision, which is off; expected use_amp: true"
        yield Fault(("val", "use_amp"), expected)


def _train_set(options: TrainOptions) -> Iterator[Fault]:
    dataset, key = options.datasets.get("train"), ("datasets", "train")
    if dataset is None:
        yield Fault(key, "this section is needed, with the images to train on")
        return
    if dataset.batch_size_per_gpu is None:
        yield Fault((*key, "batch_size_per_gpu"), "needed, a whole number above 0")
    if dataset.resident and dataset.type != "PairedLMDBDataset":
        yield Fault((*key, "resident"), "expected type: PairedLMDBDataset, which supports it")
    if dataset.type not in _PAIRED:
        return
    for name in ("dataroot_gt", "dataroot_lq"):
        if getattr(dataset, name) is None:
            yield Fault((*key, name), "needed, a folder or .lmdb of images")
    if dataset.gt_size is None:
        yield Fault((*key, "gt_size"), "needed, the side of the HR patches in pixels")
        return
    expected = f"expected a multiple of scale {options.scale}"
    if dataset.gt_size % options.scale:
        yield Fault((*key, "gt_size"), expected, dataset.gt_size)
    for number, size in enumerate(options.train.patch_sizes):
        if size % options.scale or size > dataset.gt_size:
            up_to = f"{expected}, up to gt_size, {dataset.gt_size}"
            yield Fault(("train", "patch_sizes", number), up_to, size)


def _validation_sets(options: TrainOptions) -> Iterator[Fault]:
    """Validation sets are told apart by ``name``, in every record of a run."""
    phases: dict[str, str] = {}
    for phase in options.phases("val"):
        name = options.datasets[phase].name
        first = phases.setdefault(name, phase)
        if first != phase:
            yield Fault(
                ("datasets", phase, "name"), f"expected another name than {first} has", name
            )
    known_model = options.model_type in KNOWN_MODELS  # another may not support validation
    if known_model and options.val and options.val.val_freq and not phases:
        yield Fault(("datasets", "val"), "needed, since val:val_freq asks for validation")
    for phase in options.phases("test"):
        expected = "test phases belong in a file for `lrfdn test`; to validate use val, val_2, ..."
        yield Fault(("datasets", phase), expected)


def _schedule(options: TrainOptions) -> Iterator[Fault]:
    train, curve, key = options.train, options.train.scheduler, ("train", "scheduler")
    total, rate, used = train.total_iter, train.optim_g.lr, _CURVE_KEYS[curve.type]
    restarting, warmup = curve.type == "CosineAnnealingRestartLR", ("train", "warmup_iter")
    if train.warmup_iter >= total:
        yield Fault(warmup, f"expected less than total_iter, {total}", train.warmup_iter)
    if curve.type == "OneCycleLR" and train.warmup_iter > 0:
        yield Fault(warmup, "OneCycleLR has a warm-up of its own; expected -1", train.warmup_iter)
    if curve.eta_min >= rate:
        yield Fault((*key, "eta_min"), f"expected less than optim_g:lr, {rate}", curve.eta_min)
    reads = f"it reads {', '.join(sorted(used))}" if used else "it reads no other key"
    for name in sorted(curve.model_fields_set - used - {"type"}):
        yield Fault((*key, name), f"{curve.type} does not read this; {reads}")
    if curve.type.startswith("MultiStep") and not curve.milestones:
        yield Fault((*key, "milestones"), "needed, e.g. [200000, 400000]")
    pieces = "periods" if restarting else "restarts"
    count = len(getattr(curve, pieces))
    if "restart_weights" in used and len(curve.restart_weights) != count:
        expected = f"expected as many as there are {pieces}, {count}"
        yield Fault((*key, "restart_weights"), expected, list(curve.restart_weights))
    if restarting and sum(curve.periods) < total:
        expected = f"expected periods that add up to total_iter, {total}, or more"
        yield Fault((*key, "periods"), expected, list(curve.periods))


def _losses(options: TrainOptions) -> Iterator[Fault]:
    train, weights = options.train, options.val and options.val.weights
    terms = {("pixel_opt",): train.pixel_opt, ("perceptual_opt",): train.perceptual_opt}
    terms |= {("losses", number): term for number, term in enumerate(train.losses)}
    for key, loss in terms.items():
        if loss and loss.arguments().get("reduction") == "none":
            yield Fault(("train", *key, "reduction"), "expected mean or sum", "none")
    taught = any(term.target == "teacher" for term in train.losses)
    if taught != (options.path.pretrain_network_teacher is not None):
        has = "needed, since a loss has" if taught else "no loss has"
        yield Fault(("path", "pretrain_network_teacher"), f"{has} target: teacher")
    if train.ema_decay == 0 and weights in ("ema", "both"):
        expected = "asks for the EMA weights while train:ema_decay is 0; expected raw, or an EMA"
        yield Fault(("val", "weights"), expected, weights)
    if options.model_type in KNOWN_MODELS and not any(terms.values()):
        yield Fault(("train", "pixel_opt"), "needed, e.g. {type: L1Loss}")


def _foreign_model(options: TrainOptions) -> Iterator[Fault]:
    """Options of LRFDNModel with another model, which would ignore or refuse them."""
    if options.model_type == "LRFDNModel":
        return
    train, train_set = options.train, options.datasets.get("train")
    ours = {
        ("use_amp",): options.use_amp is True,  # auto is off for such models
        ("use_channels_last",): options.use_channels_last is True,
        ("use_compile",): options.use_compile is True,
        ("val", "use_amp"): options.val and options.val.use_amp,
        ("path", "init"): options.path.init,
        ("train", "losses"): train.losses,
        ("train", "reparameterize"): train.reparameterize,
        ("train", "patch_sizes"): train.patch_sizes,
        ("train", "grad_clip_max_norm"): train.grad_clip_max_norm,
        ("datasets", "train", "accum_iter"): train_set and train_set.accum_iter > 1,
        ("train", "optim_g", "type"): train.optim_g.type not in BASICSR_OPTIMIZERS,
        ("train", "scheduler", "type"): train.scheduler.type not in BASICSR_SCHEDULERS,
    }
    expected = f"{options.model_type} does not support this; expected model_type: LRFDNModel"
    yield from (Fault(key, expected) for key, is_set in ours.items() if is_set)
