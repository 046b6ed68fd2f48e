"""The networks as plain torch modules, each with its record beside it."""

from lrfdn_arch.archs.architecture import Architecture, Released
from lrfdn_arch.archs.attention import EFSA, ESA
from lrfdn_arch.archs.efdn_arch import EFDB, EFDN
from lrfdn_arch.archs.lookup import (
    ARCHITECTURES,
    architecture_of,
    build_network,
    find_architecture,
    recognize,
)
from lrfdn_arch.archs.lrfdn_arch import LRFDB, LRFDN, SRB
from lrfdn_arch.archs.maffsrn_arch import FFG, MAB, MAFFSRN
from lrfdn_arch.archs.rfanet_arch import RFA, RFANet
from lrfdn_arch.archs.rfdn_arch import RFDB, RFDN
from lrfdn_arch.archs.rlfn_arch import RLFB, RLFN
from lrfdn_arch.archs.span_arch import SPAB, SPAN

__all__ = [
    "ARCHITECTURES",
    "EFDB",
    "EFDN",
    "EFSA",
    "ESA",
    "FFG",
    "LRFDB",
    "LRFDN",
    "MAB",
    "MAFFSRN",
    "RFA",
    "RFDB",
    "RFDN",
    "RLFB",
    "RLFN",
    "SPAB",
    "SPAN",
    "SRB",
    "Architecture",
    "RFANet",
    "Released",
    "architecture_of",
    "build_network",
    "find_architecture",
    "recognize",
]
