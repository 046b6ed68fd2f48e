"""``lrfdn challenge``: evaluate networks by the challenge's protocol."""

import argparse
import sys
from typing import Any, cast

from lrfdn_arch.commands.arguments import (
    add_images,
    add_kits,
    add_models,
    add_out,
    add_protocol,
    image_sets_of,
    kits_of,
    network_of,
)


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "challenge",
        help="evaluate networks by the NTIRE Efficient SR protocol: PSNR, runtime, complexity",
    )
    add_models(parser, required=False)
    add_protocol(parser, "2023")
    add_out(parser, "folder for results.json, results.txt and images/")
    add_images(parser)
    add_kits(parser)
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
    from lrfdn_arch.evaluation.audit import audit
    from lrfdn_arch.evaluation.competitor import load_competitors
    from lrfdn_arch.evaluation.entries import kit_text, read_entries
    from lrfdn_arch.evaluation.evaluate import check_free, evaluate, remove_evaluation
    from lrfdn_arch.evaluation.kits.client import KIT_SCALE, KitNetwork, load_kits
    from lrfdn_arch.evaluation.protocols import YEARS
    from lrfdn_arch.evaluation.results import Protocol
    from lrfdn_arch.files import write_whole
    from lrfdn_arch.locks import locked
    from lrfdn_arch.progress import progress_bar
    from lrfdn_arch.report.audit import audit_text

    chosen, limits = kits_of(arguments)
    if not arguments.model and not chosen:
        raise ValueError("specify networks with --model LABEL=FILE or --kit FOLDER")
    year = YEARS[arguments.protocol or 2023]
    device = choose_device(arguments.device)
    timing = None if arguments.no_fair_timing else _timing_plan(arguments)
    image_sets, out = image_sets_of(arguments, year), arguments.out
    folders = [out / s.name for s in image_sets] if len(image_sets) > 1 else [out]
    competitors = load_competitors(arguments.model, arguments.weights_key, network_of(arguments))
    if chosen and any(competitor.scale != KIT_SCALE for competitor in competitors):
        raise ValueError(f"networks of kits are x{KIT_SCALE}; evaluate others on their own")
    scale = competitors[0].scale if competitors else KIT_SCALE
    protocol = Protocol(
        name=year.name,
        scale=scale,
        crop_border=scale,
        ssim=not arguments.no_ssim,
        tf32=arguments.tf32,
    )
    with locked(out, "choose another --out"):
        for folder in {out, *folders} if arguments.overwrite else ():
            remove_evaluation(folder)
        for folder in folders:
            check_free(folder)
        teams = sum(len(numbers) for _, numbers in chosen)
        total = teams + sum(len(s.pairs) for s in image_sets) * (1 + len(competitors) + teams)
        if timing:
            total += timing.passes(len(competitors) + teams)
        with progress_bar(total, unit="steps") as bar:

            def on_step(stage: str, name: str) -> None:
                bar.set_description(f"{stage} {name}".strip(), refresh=True)
                bar.update()

            labels = [competitor.label for competitor in competitors]
            judged = ()
            from_kits, failures = load_kits(chosen, device, limits, labels, on_step)
            for image_set, folder in zip(image_sets, folders, strict=True):
                results = evaluate(
                    [*competitors, *from_kits],
                    image_set,
                    folder,
                    protocol,
                    device,
                    save_images=not arguments.no_images,
                    timing=timing,
                    on_step=on_step,
                    failures=failures,
                )
                timing = None  # the same for every set
                failures, judged = results.failures, results.networks
                from_kits = [c for c in from_kits if c.label not in failures]
    _, entries = read_entries(out, year)
    text = kit_text(entries, protocol.ssim)
    if len(folders) > 1:
        write_whole(out / "results.txt", text.encode())
    for network in judged:
        origin = f"weights of {network.weights.file}, not a released version"
        if network.weights.released:
            origin = f"released weights, {network.weights.released}"
        print(f"{network.label}: {origin}")
    print(text)
    print(audit_text(audit(entries, year)))
    for label, reason in failures.items():
        print(f"not evaluated: {label}: {reason}")
    for competitor in from_kits:
        if missing := cast(KitNetwork, competitor.network).description["open"]:
            limits = f"limits on {', '.join(missing)}, which this system does not offer"
            print(f"warning: {competitor.label} ran without {limits}", file=sys.stderr)
    print(f"results in {out}; next: lrfdn compare {out} --out report")


def _timing_plan(arguments: argparse.Namespace) -> Any:
    from lrfdn_arch.evaluation.timing import TimingPlan

    modes = (False, True) if arguments.compile else (False,)
    return TimingPlan(
        variants=[(precision, mode) for precision in arguments.precision for mode in modes],
        batch=arguments.timing_batch,
        size=tuple(arguments.timing_size),
        warmup=arguments.timing_warmup,
        repeats=arguments.timing_repeats,
        tf32=arguments.tf32,
    )
