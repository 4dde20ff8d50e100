"""resnext50, mobilenet_v1, …: logits, loss, part of the input's gradient and the parameters' gradients' norms of whole networks with hashed states."""

from __future__ import annotations

from typing import Callable

import torch
import torch.nn.functional as F
from torch import nn

from golden_file import as_float64, write_cases, write_tensors
from hashed import Input, fill_state
from networks import ResNeXt, mobilenet_v1
from torchvision_nets import build

STATE, X, LABEL, HEAD, CANDIDATES = 20000, 30000, 3, 512, 60

NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and their parameter counts
    "resnext50": (lambda: build("resnext50_32x4d"), 25_028_904),
    "mobilenet_v1": (mobilenet_v1, 4_231_976),
    "resnext_review": (ResNeXt, 25_032_808),
    "mobilenet_v2": (lambda: build("mobilenet_v2"), 3_504_872),
    "mobilenet_v3_large": (lambda: build("mobilenet_v3_large"), 5_483_032),
    "mobilenet_v3_small": (lambda: build("mobilenet_v3_small"), 2_542_856),
    "seresnext50": (lambda: build("seresnext50_32x4d"), 27_559_896),
}

KINKS: dict[type[nn.Module], tuple[float, ...]] = {  # where gradients jump
    nn.ReLU: (0,), nn.ReLU6: (0, 6), nn.Hardswish: (-3, 3), nn.Hardsigmoid: (-3, 3),
}


def smallest_margin(net: nn.Module, x: torch.Tensor) -> float:
    """The smallest distance of any activation's input from a kink, relative to the deviation of its layer."""
    margins: list[float] = []

    def measure(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        for kink in KINKS[type(module)]:
            margins.append(float((inputs[0] - kink).abs().min() / inputs[0].std()))

    hooks = [module.register_forward_pre_hook(measure) for module in net.modules() if type(module) in KINKS]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return min(margins)


def clear_of_kinks(net: nn.Module) -> Input:
    """Of some inputs, the one that stays farthest from kinks: there, rounding would flip a whole path's gradient."""
    return max((Input((1, 3, 32, 32), X + i) for i in range(CANDIDATES)), key=lambda spec: smallest_margin(net, spec.tensor()))


def make() -> None:
    descriptions = []
    for name, (make_net, expected) in NETS.items():
        net = make_net()
        fill_state(net, STATE)
        net.eval()
        spec = clear_of_kinks(net)
        print(f"{name}: margin {smallest_margin(net, spec.tensor()):.3g} of a deviation")
        x = spec.tensor().requires_grad_()
        logits = net(x)
        loss = F.cross_entropy(logits, torch.tensor([LABEL]))
        loss.backward()
        parameters = sum(parameter.numel() for parameter in net.parameters())
        assert parameters == expected, f"{name}: {parameters} parameters"
        print(f"{name}: logits' deviation {logits.std():.4g}, loss {loss:.6g}, |dx| {x.grad.norm():.4g}")
        descriptions.append({
            "name": name, "x": spec.json(), "state": STATE, "labels": [LABEL], "training": False,
            "parameters": parameters, "entries": len(net.state_dict()),
        })
        write_tensors(name, {
            "logits": as_float64(logits), "loss": as_float64(loss),
            "dxHead": as_float64(x.grad.flatten()[:HEAD]), "dxNorm": as_float64(x.grad.norm()), "dxSum": as_float64(x.grad.sum()),
            "gradNorms": as_float64(torch.stack([parameter.grad.norm() for parameter in net.parameters()])),
        })
    write_cases("nets", descriptions)
