"""Times PyTorch for the benchmark suites; the lines it reads and writes are described in protocol.ts.

Networks are torchvision's ResNet and the MobileNet of test/golden, with the hashed states of test/golden/README.md.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "test" / "golden"))

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hashed import fill_state, hashed
from networks import mobilenet_v1

Request = dict[str, Any]
Work = Callable[[], Tensor]
PROBE = 512


def build(request: Request) -> nn.Module:
    if request["family"] == "mobilenet":
        net: nn.Module = mobilenet_v1()
    else:
        from torchvision.models.resnet import Bottleneck, ResNet

        net = ResNet(Bottleneck, request["blocks"], groups=request["cardinality"], width_per_group=request["width"])
    fill_state(net, request["state"])
    return net.float()


def inputs(request: Request) -> Tensor:
    return hashed(request["input"], (request["n"], 3, request["size"], request["size"])).float()


def inference(request: Request) -> Work:
    net, x, variant = build(request).eval(), inputs(request), request["variant"]
    if "channels_last" in variant:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    if "jit" in variant:
        with torch.no_grad():
            net = torch.jit.optimize_for_inference(torch.jit.freeze(torch.jit.trace(net, x)))

    def work() -> Tensor:
        with torch.inference_mode():
            return net(x)

    return work


def training(request: Request) -> Work:
    """Forward, backward and a step of SGD; the result is the loss before the step."""
    net, x = build(request).train(), inputs(request)
    if "channels_last" in request["variant"]:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    labels = torch.arange(request["n"])
    optimizer = torch.optim.SGD(net.parameters(), lr=request["lr"], momentum=request["momentum"])

    def work() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss.detach().reshape(1)

    return work


def timed(work: Work, seconds: float, at_least: int) -> Iterator[float]:
    begin, count = time.perf_counter(), 0
    while count < at_least or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start
        count += 1


def probe(value: Tensor) -> list[float]:
    """Evenly spaced values."""
    flat = value.flatten()
    count = min(PROBE, flat.numel())
    return flat[torch.arange(count) * flat.numel() // count].tolist()


def main() -> None:
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    work: Work | None = None

    def answer(request: Request) -> dict[str, Any]:
        nonlocal work
        command = request["command"]
        if command == "describe":
            torch.set_num_threads(request["threads"])
            return {"version": torch.__version__.split("+")[0]}
        if command == "prepare":
            work = None  # the old one's memory first
            train = request["work"] == "training"
            work = (training if train else inference)(request)
            # Losses of the first steps, or logits; these runs warm up, too: a traced network compiles in its second.
            results = [work() for _ in range(3)]
            return {"probe": [loss.item() for loss in results] if train else probe(results[-1])}
        if command == "run":
            assert work is not None, "nothing is prepared"
            return {"samples": list(timed(work, request["seconds"], request["atLeast"]))}
        raise ValueError(f"unknown command {command}")

    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # told to whoever asked
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
