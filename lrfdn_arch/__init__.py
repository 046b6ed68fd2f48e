"""LRFDN and RFDN as a BasicSR plugin.

``import lrfdn_arch`` is the whole contract: it registers the networks, the dataset and the
training model with BasicSR, whether BasicSR was imported before or is imported later, and it
imports neither torch nor BasicSR itself.
"""

from lrfdn_arch import compat, plugin

__version__ = "0.1.0"

compat.install()
plugin.install()
