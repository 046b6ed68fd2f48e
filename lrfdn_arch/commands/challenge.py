"""``lrfdn challenge``: evaluate networks by the challenge's protocol."""

import argparse
from pathlib import Path
from typing import Any

from lrfdn_arch.commands.arguments import add_models, add_out, network_of


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "challenge",
        help="evaluate networks by the NTIRE 2023 Efficient SR protocol: PSNR, runtime, complexity",
    )
    add_models(parser)
    add_out(parser, "folder for results.json, results.txt and images/")
    images = parser.add_argument_group("images: the kit's layout, or any folders or LMDBs")
    images.add_argument("--data", type=Path, help="folder with DIV2K_valid_LR and DIV2K_valid_HR")
    images.add_argument("--lr", type=Path, help="folder or LMDB of LR images")
    images.add_argument("--hr", type=Path, help="folder or LMDB of ground truth, needed for PSNR")
    images.add_argument(
        "--set",
        help="name of the set; with --data it names the folders SET_LR and SET_HR (default: "
        "DIV2K_valid; the folders of 2024 to 2026 are DIV2K_LSDIR_valid and DIV2K_LSDIR_test)",
    )
    parser.add_argument("--no-ssim", action="store_true", help="compute PSNR only")
    parser.add_argument(
        "--no-images", action="store_true", help="do not save images; the page needs them"
    )
    parser.add_argument(
        "--tf32",
        action="store_true",
        help="allow TF32 in GPU convolutions, PyTorch's default and the kit's setting",
    )
    timing = parser.add_argument_group("fair timing, in addition to the kit's")
    timing.add_argument("--no-fair-timing", action="store_true", help="run only the kit's timing")
    timing.add_argument("--timing-size", type=int, nargs=2, default=(256, 256), metavar=("H", "W"))
    timing.add_argument("--timing-batch", type=int, default=1, metavar="N")
    timing.add_argument("--timing-repeats", type=int, default=10, metavar="N")
    timing.add_argument("--timing-warmup", type=int, default=3, metavar="N")
    timing.add_argument(
        "--precision", nargs="+", choices=("fp32", "fp16", "bf16"), default=["fp32"]
    )
    timing.add_argument("--compile", action="store_true", help="also time compiled networks")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Run the command."""
    from lrfdn_arch.device import choose_device
    from lrfdn_arch.evaluation.competitor import load_competitors
    from lrfdn_arch.evaluation.evaluate import Settings, check_free, evaluate, remove_evaluation
    from lrfdn_arch.locks import locked
    from lrfdn_arch.progress import progress_bar

    settings = Settings(
        device=choose_device(arguments.device),
        ssim=not arguments.no_ssim,
        tf32=arguments.tf32,
        save_images=not arguments.no_images,
        timing=None if arguments.no_fair_timing else _timing_plan(arguments),
    )
    image_set = _image_set(arguments)
    competitors = load_competitors(arguments.model, arguments.weights_key, network_of(arguments))
    total = len(image_set.pairs) * (1 + len(competitors))
    if settings.timing:
        total += settings.timing.passes(len(competitors))
    with locked(arguments.out, "choose another --out"):
        if arguments.overwrite:
            remove_evaluation(arguments.out)
        check_free(arguments.out)
        with progress_bar(total, unit="step") as bar:

            def on_step(stage: str, name: str) -> None:
                bar.set_description(f"{stage} {name}".strip(), refresh=True)
                bar.update()

            results = evaluate(competitors, image_set, arguments.out, settings, on_step)
    for network in results.networks:
        print(f"{network.label}: {_origin(network.weights)}")
    print((arguments.out / "results.txt").read_text(), end="")
    print(f"results in {arguments.out}; next: lrfdn compare {arguments.out} --out report")


def _origin(weights: Any) -> str:
    if weights.released:
        return f"released weights, {weights.released}"
    return f"weights of {weights.file}, not a released version"


def _image_set(arguments: argparse.Namespace) -> Any:
    from lrfdn_arch.evaluation.image_set import kit_folders, open_image_set

    if (arguments.data is None) == (arguments.lr is None):
        raise ValueError("specify the images with either --data FOLDER or --lr (and --hr)")
    if arguments.data is None:
        return open_image_set(arguments.lr, arguments.hr, arguments.set)
    if arguments.hr is not None:
        raise ValueError("--hr requires --lr; with --data the HR folder is found by name")
    name = arguments.set or "DIV2K_valid"
    return open_image_set(*kit_folders(arguments.data, name), name)


def _timing_plan(arguments: argparse.Namespace) -> Any:
    from lrfdn_arch.evaluation.fair_timing import TimingPlan

    modes = (False, True) if arguments.compile else (False,)
    return TimingPlan(
        variants=[(precision, mode) for precision in arguments.precision for mode in modes],
        batch=arguments.timing_batch,
        size=tuple(arguments.timing_size),
        warmup=arguments.timing_warmup,
        repeats=arguments.timing_repeats,
        tf32=arguments.tf32,
    )
