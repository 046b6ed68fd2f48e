"""The networks as plain torch modules."""

from lrfdn_arch.archs.efsa_arch import EFSA, ESA
from lrfdn_arch.archs.lrfdn_arch import LRFDB, LRFDN
from lrfdn_arch.archs.rfdn_arch import RFDB, RFDN
from lrfdn_arch.archs.srb_arch import SRB

__all__ = ["EFSA", "ESA", "LRFDB", "LRFDN", "RFDB", "RFDN", "SRB"]
