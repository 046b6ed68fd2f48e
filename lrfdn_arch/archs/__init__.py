"""The networks as plain torch modules, each with its record beside it."""

from lrfdn_arch.archs.architecture import Architecture as Architecture
from lrfdn_arch.archs.architecture import Released as Released
from lrfdn_arch.archs.attention import EFSA as EFSA
from lrfdn_arch.archs.attention import ESA as ESA
from lrfdn_arch.archs.efdn_arch import EFDB as EFDB
from lrfdn_arch.archs.efdn_arch import EFDN as EFDN
from lrfdn_arch.archs.lookup import ARCHITECTURES as ARCHITECTURES
from lrfdn_arch.archs.lookup import architecture_of as architecture_of
from lrfdn_arch.archs.lookup import build_network as build_network
from lrfdn_arch.archs.lookup import find_architecture as find_architecture
from lrfdn_arch.archs.lookup import recognize as recognize
from lrfdn_arch.archs.lrfdn_arch import LRFDB as LRFDB
from lrfdn_arch.archs.lrfdn_arch import LRFDN as LRFDN
from lrfdn_arch.archs.lrfdn_arch import SRB as SRB
from lrfdn_arch.archs.maffsrn_arch import FFG as FFG
from lrfdn_arch.archs.maffsrn_arch import MAB as MAB
from lrfdn_arch.archs.maffsrn_arch import MAFFSRN as MAFFSRN
from lrfdn_arch.archs.rfanet_arch import RFA as RFA
from lrfdn_arch.archs.rfanet_arch import RFANet as RFANet
from lrfdn_arch.archs.rfdn_arch import RFDB as RFDB
from lrfdn_arch.archs.rfdn_arch import RFDN as RFDN
from lrfdn_arch.archs.rlfn_arch import RLFB as RLFB
from lrfdn_arch.archs.rlfn_arch import RLFN as RLFN
from lrfdn_arch.archs.span_arch import SPAB as SPAB
from lrfdn_arch.archs.span_arch import SPAN as SPAN
