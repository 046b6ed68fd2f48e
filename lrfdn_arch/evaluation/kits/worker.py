"""The process that runs one network of a kit; :mod:`.client` starts it and asks it.

A message is a JSON object on one line, followed by as many bytes as its ``bytes`` says. What
foreign code prints goes to stderr. Nothing is unpickled on either side.
"""

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

from lrfdn_arch.evaluation.kits.sandbox import confine


def send(stream: BinaryIO, message: dict[str, Any], data: bytes = b"") -> None:
    """Write a message, and ``data`` after it."""
    stream.write(json.dumps({**message, "bytes": len(data)}).encode() + b"\n" + data)
    stream.flush()


def receive(stream: BinaryIO) -> tuple[dict[str, Any], bytes]:
    """Read a message and its data.

    Raises:
        EOFError: the other side has ended.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    message = json.loads(line)
    data = stream.read(message["bytes"])
    if len(data) < message["bytes"]:
        raise EOFError
    return message, data


class _Kit:
    """The network of one team, made and run by the kit's ``select_model`` and ``forward``."""

    def __init__(self, team: int, device_name: str) -> None:
        import torch

        from lrfdn_arch.evaluation.kits.cuda_calls import CudaTo, load_to, replace_cuda

        self.device = torch.device(device_name)
        self.files: list[str] = []
        self.mapping: AbstractContextManager = nullcontext()
        if self.device.type != "cuda":
            replace_cuda(self.device)
            self.mapping = CudaTo(self.device)
        torch.load = load_to(self.device, self.files.append)
        with self.mapping, torch.no_grad():
            demo: Any = __import__("test_demo")
            selected = demo.select_model(SimpleNamespace(model_id=team), self.device)
        self.network, self.name, self.data_range, self.tile = selected
        self.forward = getattr(demo, f"forward_team{team}", demo.forward)

    def description(self) -> dict[str, Any]:
        """Return what is known of the network after loading it."""
        from lrfdn_arch.evaluation.complexity import count

        with self.mapping:
            counts = count(self.network).model_dump()
        return {
            "name": self.name,
            "network": type(self.network).__name__,
            "data_range": float(self.data_range),
            "files": [str(Path(file).resolve()) for file in self.files],
            "counts": counts,
        }

    def run(self, shape: list[int], data: bytes) -> tuple[dict[str, Any], bytes]:
        """Upscale an image and return its shape and time, and the result as float32."""
        import torch

        from lrfdn_arch.evaluation.timing import MIB, timed

        lq = torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(shape).to(self.device)
        with torch.no_grad(), self.mapping:
            output, milliseconds = timed(lambda x: self.forward(x, self.network, self.tile), lq)
        memory = None
        if self.device.type == "cuda":
            memory = torch.cuda.max_memory_allocated(self.device) / MIB
        result = output.float().contiguous().cpu().numpy()
        answer = {"shape": list(result.shape), "milliseconds": milliseconds, "memory_mib": memory}
        return answer, result.tobytes()


def main(team: int, device_name: str, writable: Path, memory_bytes: int, threads: int) -> None:
    """Serve requests on stdin until it ends."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    open_doors = confine(writable, memory_bytes)
    import torch

    # Before the kit's folder is on the path, where it could hide a package that these need.
    from lrfdn_arch.evaluation import complexity, timing  # noqa: F401

    torch.set_num_threads(threads)
    sys.path.insert(0, str(Path.cwd()))
    kit: _Kit | None = None
    while True:
        try:
            request, data = receive(requests)
        except EOFError:
            return
        try:
            if kit is None:
                kit = _Kit(team, device_name)
                send(answers, {**kit.description(), "open": open_doors})
            else:
                send(answers, *kit.run(request["shape"], data))
        except (Exception, SystemExit) as error:
            lines = str(error).strip().splitlines() or [""]
            send(answers, {"error": f"{type(error).__name__}: {lines[0]}"})


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
