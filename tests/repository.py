"""Where things are, seen from the tests."""

import json
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
FIXTURES = REPOSITORY / "tests/fixtures"

RELEASED = {  # in reference/ of the folder of released weights
    "LRFDN": "team30_lrfdn.pth",
    "RFDN": "team00_rfdn.pth",
    "RLFN": "team00_rlfn.pth",
    "EFDN": "team00_efdn.pth",
    "SPAN": "team00_span.pth",
}


def set5_psnr(network: str) -> dict[str, float]:
    """Return what the challenge's kits print for the released weights, image by image."""
    files = ("set5_challenge_psnr.json", "set5_challenge_psnr_baselines.json")
    both = [json.loads((FIXTURES / file).read_text()) for file in files]
    return {name: psnr for name, psnr in {**both[0], **both[1]}[network].items() if name != "mean"}
