"""The networks as plain torch modules, each with its record beside it."""

from lrfdn_arch.archs.architecture import Architecture, Released
from lrfdn_arch.archs.efsa_arch import EFSA, ESA
from lrfdn_arch.archs.lookup import (
    ARCHITECTURES,
    architecture_of,
    build_network,
    find_architecture,
    recognize,
)
from lrfdn_arch.archs.lrfdn_arch import LRFDB, LRFDN
from lrfdn_arch.archs.rfdn_arch import RFDB, RFDN
from lrfdn_arch.archs.srb_arch import SRB

__all__ = [
    "ARCHITECTURES",
    "EFSA",
    "ESA",
    "LRFDB",
    "LRFDN",
    "RFDB",
    "RFDN",
    "SRB",
    "Architecture",
    "Released",
    "architecture_of",
    "build_network",
    "find_architecture",
    "recognize",
]
