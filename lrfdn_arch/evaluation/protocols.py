"""What the Efficient SR challenge of each year evaluated, as its kit and report define it.

The pixel protocol has been the same since 2023 (see ``challenge.py``). Image sets, FLOP counter,
PSNR gates, score and baseline have changed. Sources: github.com/ofsoundof/NTIRE2023_ESR,
github.com/Amazingren/NTIRE2024_ESR, NTIRE2025_ESR and NTIRE2026_ESR.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
VALID, TEST = "valid", "test"  # the roles of the two image sets, as the kits' result files say
PIXELS = 256 * 256  # of the image that complexity is counted at


@dataclass(frozen=True)
class Published:
    """One published result; units as in the kits' tables, None where nothing was published.

    ``network`` is the name of its class in this package; None for networks that it does not
    contain. PSNR is the mean on RGB in dB, ``time_ms`` the runtime as the challenge ranked it.
    """

    label: str
    network: str | None
    psnr_valid: float
    psnr_test: float | None
    time_ms: float
    params_m: float
    flops_g: float
    acts_m: float | None = None
    memory_m: float | None = None
    convolutions: int | None = None

    def psnr(self, role: str) -> float | None:
        """Return the PSNR on the set of ``role``."""
        return self.psnr_test if role == TEST else self.psnr_valid


@dataclass(frozen=True)
class Year:
    """The challenge of one year.

    Attributes:
        sets: names of the image sets by role; their folders are ``NAME_LR`` and ``NAME_HR``.
        images: number of images of each set.
        counter: field of ``Counts`` with the year's FLOPs.
        gates: least mean PSNR in dB by role; the organisers compared the printed two decimals.
        weights: weights of the score's parts; empty where entries were ranked by runtime.
        published: published results, the baseline first.
        source: where they were published, and the GPU.
    """

    year: int
    sets: Mapping[str, str]
    images: int
    counter: Literal["flops_2023", "flops_fvcore"]
    gates: Mapping[str, float]
    weights: Mapping[str, float]
    published: tuple[Published, ...]
    source: str

    @property
    def name(self) -> str:
        """The name of the challenge, as in ``Protocol.name``."""
        return f"NTIRE {self.year} Efficient SR"

    @property
    def baseline(self) -> str:
        """The name of the baseline network."""
        return self.published[0].label

    def score(self, runtime: Values, flops: Values | float, params: Values | float) -> Values:
        """Return the score, lower is better, from ratios to those of the baseline.

        Each part is exp(2 * ratio), so that the baseline scores exp(2) = 7.389.
        """
        ratios = {"runtime": runtime, "flops": flops, "params": params}
        with np.errstate(over="ignore"):
            parts = (weight * np.exp(2 * ratios[part]) for part, weight in self.weights.items())
            return np.asarray(sum(parts))

    def role_of(self, set_name: str) -> str:
        """Return the role of a set; sets other than the challenge's are validated on."""
        return next((role for role, name in self.sets.items() if name == set_name), VALID)


_since_2024 = partial(
    Year,
    sets={VALID: "DIV2K_LSDIR_valid", TEST: "DIV2K_LSDIR_test"},
    images=200,
    counter="flops_fvcore",
    gates={VALID: 26.90, TEST: 26.99},
)
YEARS = {
    year.year: year
    for year in (
        Year(
            year=2023,
            sets={VALID: "DIV2K_valid", TEST: "DIV2K_test"},
            images=100,
            counter="flops_2023",
            gates={},
            weights={},
            published=(
                Published("RFDN", "RFDN", 29.04, None, 20.91, 0.433, 27.10, 112.03, 788.13, 64),
                Published("LRFDN", "LRFDN", 28.81, None, 19.26, 0.198, 11.23, 86.18, 768.76, 56),
            ),
            source="factsheet of team 30, Table 1, A100 40G",
        ),
        _since_2024(
            year=2024,
            weights={"runtime": 0.7, "flops": 0.15, "params": 0.15},
            published=(
                Published("RLFN", "RLFN", 26.96, 27.07, 13.54, 0.317, 19.67, 80.05, None, 39),
            ),
            source="report of NTIRE 2024 Efficient SR, RTX 3090",
        ),
        _since_2024(
            year=2025,
            weights={"runtime": 0.7, "flops": 0.15, "params": 0.15},
            published=(
                Published("EFDN", "EFDN", 26.93, 27.01, 16.69, 0.276, 16.70, 111.12, None, 65),
            ),
            source="report of NTIRE 2025 Efficient SR, A6000",
        ),
        _since_2024(
            year=2026,
            weights={"runtime": 0.8, "flops": 0.1, "params": 0.1},
            published=(
                Published("SPAN", "SPAN", 26.94, 27.01, 7.74, 0.151, 9.83, 41.68, 705.24, 22),
                Published("SPANV2_ESR", None, 26.92, 27.00, 5.24, 0.139, 1.59, 42.99, 417.51, 18),
                Published("PDS", None, 26.90, 26.99, 6.70, 0.142, 9.25, 39.06, 369.90, 18),
                Published("PKDSR", None, 26.91, 27.00, 6.80, 0.144, 9.40, 39.32, 369.91, 18),
            ),
            source="the organisers' result file of 2026, A6000",
        ),
    )
}


def year_of(protocol_name: str) -> Year:
    """Return the year whose challenge is called ``protocol_name``; 2023 for any other name."""
    return next((year for year in YEARS.values() if year.name == protocol_name), YEARS[2023])


def passes(psnr: float | None, gate: float | None, *, printed: bool) -> bool | None:
    """Return whether a mean PSNR passes a gate, strictly or by its two printed decimals.

    Returns None if the PSNR is unknown or there is no gate.
    """
    if psnr is None or gate is None:
        return None
    return float(f"{psnr:.2f}") >= gate if printed else psnr >= gate
