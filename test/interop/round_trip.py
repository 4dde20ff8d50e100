"""Weights both ways between groupconv and PyTorch; pytorch.test.ts runs this on a folder and reads what it leaves there.

For every network, `NAME.safetensors` holds groupconv's state and `NAME.case.safetensors` an input and groupconv's logits: the
state must load strictly, with PyTorch's own keys, and give these logits. Then PyTorch's weights, freshly initialised and with
batch statistics of their own, go the other way as `NAME.torch.safetensors` and `NAME.torch.case.safetensors`.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from pathlib import Path
from typing import Callable

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

sys.path.append(str(Path(__file__).resolve().parent.parent / "golden"))

import networks  # noqa: E402
from torchvision_nets import build  # noqa: E402

TOLERANCE = 1e-5


def mobilenet_v1() -> nn.Module:
    """networks.mobilenet_v1 with groupconv's names for its parts."""
    layers = list(networks.mobilenet_v1())
    return nn.Sequential(OrderedDict(
        stem=nn.Sequential(*layers[:3]), blocks=nn.Sequential(*layers[3:-3]), gap=layers[-3], flatten=layers[-2], classifier=layers[-1],
    ))


NETS: dict[str, Callable[[], nn.Module]] = {
    "resnext50_32x4d": lambda: build("resnext50_32x4d"),
    "seresnext50_32x4d": lambda: build("seresnext50_32x4d"),
    "mobilenet_v2": lambda: build("mobilenet_v2"),
    "mobilenet_v3_large": lambda: build("mobilenet_v3_large"),
    "mobilenet_v3_small": lambda: build("mobilenet_v3_small"),
    "mobilenet_v1": mobilenet_v1,
    "resnext_small": lambda: networks.ResNeXt(blockRepeats=((16, 1), (32, 2)), cardinality=4, numClasses=7),
}


def check_ours(name: str, net: nn.Module, folder: Path) -> Tensor:
    """Compares the logits of groupconv's weights; gives the input."""
    net.load_state_dict(load_file(folder / f"{name}.safetensors"), strict=True)
    case = load_file(folder / f"{name}.case.safetensors")
    with torch.no_grad():
        logits = net.eval()(case["x"])
    error = float((logits - case["logits"]).norm() / logits.norm())
    print(f"{name}: groupconv's weights in PyTorch, relative error of the logits {error:.3g}")
    if not error <= TOLERANCE:
        sys.exit(f"{name}: the relative error {error} is above {TOLERANCE}")
    return case["x"]


def write_theirs(name: str, net: nn.Module, x: Tensor, folder: Path) -> None:
    with torch.no_grad():
        for _ in range(3):
            net.train()(torch.randn_like(x) * 2 + 0.5)
        logits = net.eval()(x)
    save_file(net.state_dict(), folder / f"{name}.torch.safetensors")
    save_file({"x": x.contiguous(), "logits": logits.contiguous()}, folder / f"{name}.torch.case.safetensors")


def main() -> None:
    folder = Path(sys.argv[1])
    torch.manual_seed(5)
    for name, make in NETS.items():
        x = check_ours(name, make(), folder)
        write_theirs(name, make(), x, folder)


if __name__ == "__main__":
    main()
