"""Networks of a kit as modules that forward to a process of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lrfdn_arch.archs import Architecture
from lrfdn_arch.evaluation.competitor import Competitor, weights_record
from lrfdn_arch.evaluation.kits.worker import receive, send
from lrfdn_arch.evaluation.results import Counts
from lrfdn_arch.weights import LoadedNetwork

KIT_SCALE = 4
_TEAM = re.compile(r"^ +(?:el)?if (?:args\.)?model_id == (\d+):", re.MULTILINE)
_LINE = 200  # characters of a message that come from foreign code


class KitError(ValueError):
    """A kit's network failed; the message is one line."""


@dataclass(frozen=True)
class Limits:
    """Bounds on a kit's process: seconds for each answer, and bytes of memory."""

    seconds: float
    memory_bytes: int


class KitNetwork(nn.Module):
    """One network of a kit: (1, 3, H, W) float32 in [0, data_range] to (1, 3, 4H, 4W).

    Its process is started when it is needed and ends with :meth:`close`.

    Attributes:
        milliseconds: time of the last forward pass, measured in the process.
        memory_mib: peak GPU memory there; None on the CPU.
        description: what the process said about the network when it was loaded.
    """

    def __init__(self, kit: Path, team: int, device: torch.device, limits: Limits) -> None:
        super().__init__()
        self.kit, self.team = kit.resolve(), team
        self._device, self._limits = device, limits
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory | None = None
        self.milliseconds = 0.0
        self.memory_mib: float | None = None
        self.description: dict[str, Any] = {}

    def forward(self, lq: Tensor) -> Tensor:
        """Upscale one image in the network's process."""
        if self._process is None:
            self.start()
        pixels = lq.detach().float().cpu().contiguous().numpy()
        answer, data = self._ask({"shape": list(pixels.shape)}, pixels.tobytes())
        self.milliseconds, self.memory_mib = answer["milliseconds"], answer["memory_mib"]
        result = np.frombuffer(data, np.float32).reshape(answer["shape"])
        return torch.from_numpy(result.copy()).to(lq.device)

    def __deepcopy__(self, memo: object) -> "KitNetwork":
        return self

    @property
    def counts(self) -> Counts:
        """The network's complexity."""
        return Counts(**self.description["counts"])

    def start(self) -> None:
        """Start the process and load the network."""
        self._folder = tempfile.TemporaryDirectory(prefix="lrfdn-kit-", ignore_cleanup_errors=True)
        environment = {
            **os.environ,
            "HOME": self._folder.name,
            "TMPDIR": self._folder.name,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        limits = (self._folder.name, self._limits.memory_bytes, torch.get_num_threads())
        settings = map(str, (self.team, self._device, *limits))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "lrfdn_arch.evaluation.kits.worker", *settings],
            cwd=self.kit,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.description, _ = self._ask({}, b"")

    def close(self) -> None:
        """End the process and everything that it started."""
        if self._process is not None:
            self._kill()
            for stream in (self._process.stdin, self._process.stdout):
                with suppress(OSError):
                    stream.close()  # type: ignore[union-attr]  # they are pipes
            self._process.wait()
            self._process = None
        if self._folder is not None:
            self._folder.cleanup()

    def _ask(self, message: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Send one message and return the answer; end the process if it fails or is late."""
        process = self._process
        assert process and process.stdin and process.stdout
        timer = threading.Timer(self._limits.seconds, self._kill)
        timer.start()
        try:
            send(process.stdin, message, data)  # type: ignore[arg-type]
            answer, result = receive(process.stdout)  # type: ignore[arg-type]
        except (EOFError, OSError, ValueError, KeyError, TypeError) as error:
            late = not timer.is_alive()
            self.close()
            if late:
                raise KitError(f"no answer within {self._limits.seconds:g} s") from error
            code = process.returncode
            ending = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise KitError(f"its process ended: {ending}") from error
        finally:
            timer.cancel()
        if "error" in answer:
            self.close()
            line = json.dumps(str(answer["error"]), ensure_ascii=False)[1:-1]  # printable
            raise KitError(line if len(line) <= _LINE else f"{line[:_LINE]}...")
        return answer, result

    def _kill(self) -> None:
        if self._process is not None and hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        elif self._process is not None:
            self._process.kill()


def teams_of(kit: Path) -> list[int]:
    """Return the teams that the ``select_model`` of a kit knows, without running it.

    Raises:
        FileNotFoundError: the folder is not a kit.
    """
    file = kit / "test_demo.py"
    if not file.is_file():
        raise FileNotFoundError(f"--kit {kit}: expected a clone of a kit, with test_demo.py")
    return sorted({int(team) for team in _TEAM.findall(file.read_text(encoding="utf-8"))})


def load_kits(
    chosen: Iterable[tuple[Path, Sequence[int]]],
    device: torch.device,
    limits: Limits,
    taken: Sequence[str],
    on_team: Callable[[str, str], None],
) -> tuple[list[Competitor], dict[str, str]]:
    """Load networks of kits, each in a process that ends until it is needed again.

    Args:
        chosen: folders of kits, and numbers of their teams.
        device: where the networks run.
        limits: bounds on their processes.
        taken: labels that are in use.
        on_team: called with "loading" and the team's number after each team.

    Returns:
        The networks, and by name why others could not be loaded.
    """
    competitors: list[Competitor] = []
    failures = {}
    for kit, teams in chosen:
        for team in teams:
            try:
                labels = [*taken, *(competitor.label for competitor in competitors)]
                competitors.append(_competitor(KitNetwork(kit, team, device, limits), labels))
            except KitError as error:
                failures[f"{kit.resolve().name}, team {team}"] = str(error)
            on_team("loading", f"team {team}")
    return competitors, failures


def _competitor(network: KitNetwork, taken: Sequence[str]) -> Competitor:
    """Load a network to see what it is, and end its process."""
    network.start()
    network.close()
    found = network.description
    label = re.sub(r"[^\w.+-]+", "_", str(found["name"]).strip())
    label = label if label not in taken else f"{label}_{network.kit.name}"
    weights = [Path(file) for file in found["files"] if Path(file).is_file()]
    # The kits load one file each; one that loads none has its weights in its code.
    record = weights_record(weights[-1] if weights else network.kit / "test_demo.py", None)
    # Its class may have the name of one of ours without being the same.
    architecture = Architecture(f"{found['network']}, {network.kit.name}", nn.Module)
    loaded = LoadedNetwork(network, architecture, {}, KIT_SCALE, 3)
    return Competitor(label, loaded, float(found["data_range"]), record)
