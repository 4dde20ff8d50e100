"""torchvision_keys.json: the state_dict (ordered keys and shapes) and parameter count of torchvision's networks."""

from __future__ import annotations

import json

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from golden_file import write_text
from hashed import state_entries

NETS: dict[str, tuple[list[int], int, int, int]] = {  # blocks, groups, width per group, parameters
    "resnext50_32x4d": ([3, 4, 6, 3], 32, 4, 25_028_904),
    "resnext101_32x8d": ([3, 4, 23, 3], 32, 8, 88_791_336),
    "resnext101_64x4d": ([3, 4, 23, 3], 64, 4, 83_455_272),
    "resnet50": ([3, 4, 6, 3], 1, 64, 25_557_032),
}


def build(name: str) -> nn.Module:
    blocks, groups, width, _ = NETS[name]
    return ResNet(Bottleneck, blocks, groups=groups, width_per_group=width)


def make() -> None:
    lines = []
    for name, (_, _, _, expected) in NETS.items():
        net = build(name)
        parameters = sum(parameter.numel() for parameter in net.parameters())
        assert parameters == expected, f"{name}: {parameters} parameters"
        entries = state_entries(net)
        print(f"{name}: {parameters:,} parameters, {len(entries)} entries")
        value = json.dumps({"parameters": parameters, "state": entries}, separators=(",", ":"))
        lines.append(f'"{name}":{value}')
    write_text("torchvision_keys.json", "{\n" + ",\n".join(lines) + "\n}\n")
