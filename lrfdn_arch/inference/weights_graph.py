"""The folded graphs of weights, stored so that upscaling needs no torch.

Those of the shipped weights come with the package. Those of other weights are written to the user's
cache folder, under the checksum of the weights' file, when torch has loaded them once.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

from lrfdn_arch import __version__
from lrfdn_arch.extras import is_installed
from lrfdn_arch.files import write_whole
from lrfdn_arch.weights.shipped import SHIPPED

if TYPE_CHECKING:
    from lrfdn_arch.weights import LoadedNetwork


class WeightsFile:
    """The network in a weights file, loaded by torch only if something asks for that.

    Args:
        path: of the weights.
        network_g: as :func:`lrfdn_arch.weights.load_network`.
    """

    def __init__(self, path: Path, network_g: Mapping[str, Any] | None = None) -> None:
        self._path, self._network_g = path, network_g

    @cached_property
    def network(self) -> "LoadedNetwork":
        """The network in torch.

        Raises:
            ValueError: as :func:`lrfdn_arch.weights.load_network`.
        """
        from lrfdn_arch.weights import load_network

        return load_network(self._path, network_g=self._network_g)

    @cached_property
    def graph(self) -> bytes | None:
        """The network as an ONNX graph in float32; None if it has no fused form."""
        stored = self._stored()
        if stored is not None and stored.is_file():
            return stored.read_bytes()
        if not is_installed("onnx"):
            return None
        from lrfdn_arch.inference.fuse import can_fuse, fuse
        from lrfdn_arch.inference.onnx_graph import build_model

        if not can_fuse(self.network.network):
            return None
        graph = build_model(fuse(self.network.network)).SerializeToString()
        if stored is not None:
            with suppress(OSError):  # the cache is not writable: build it again next time
                write_whole(stored, graph)
        return graph

    def _stored(self) -> Path | None:
        """Where the graph is stored; None if the file alone does not tell what network it is."""
        if self._network_g is not None:
            return None
        shipped = self._path.with_suffix(".onnx")
        if self._path.parent == SHIPPED and shipped.is_file():
            return shipped
        checksum = hashlib.sha256(self._path.read_bytes()).hexdigest()
        return user_cache_path("lrfdn") / "graphs" / f"{checksum}-{__version__}.onnx"
