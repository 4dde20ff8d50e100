"""torchvision_keys.json: the state_dict (ordered keys and shapes) and parameter count of torchvision's networks, and of timm's SE-ResNeXt."""

from __future__ import annotations

import json
from typing import Any, Callable

from torch import Tensor, nn
from torchvision.models import mobilenet_v2, mobilenet_v3_large, mobilenet_v3_small
from torchvision.models.resnet import Bottleneck, ResNet
from torchvision.ops import SqueezeExcitation

from golden_file import write_text
from hashed import state_entries


class SqueezeBottleneck(Bottleneck):
    """timm's Bottleneck with attn_layer "se": squeeze-and-excitation after the last batch norm, a sixteenth of its channels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        channels, downsample = self.bn3.num_features, self.downsample
        del self.downsample  # timm's state_dict has it last
        self.se = SqueezeExcitation(channels, channels // 16)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.se(self.bn3(self.conv3(y)))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet(blocks: list[int], groups: int, width: int, block: type[Bottleneck] = Bottleneck) -> Callable[[], nn.Module]:
    return lambda: ResNet(block, blocks, groups=groups, width_per_group=width)


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # and their parameter counts
    "resnext50_32x4d": (resnet([3, 4, 6, 3], 32, 4), 25_028_904),
    "resnext101_32x8d": (resnet([3, 4, 23, 3], 32, 8), 88_791_336),
    "resnext101_64x4d": (resnet([3, 4, 23, 3], 64, 4), 83_455_272),
    "resnet50": (resnet([3, 4, 6, 3], 1, 64), 25_557_032),
    "seresnext50_32x4d": (resnet([3, 4, 6, 3], 32, 4, SqueezeBottleneck), 27_559_896),
    "mobilenet_v2": (mobilenet_v2, 3_504_872),
    "mobilenet_v3_large": (mobilenet_v3_large, 5_483_032),
    "mobilenet_v3_small": (mobilenet_v3_small, 2_542_856),
}


def build(name: str) -> nn.Module:
    make, _ = NETS[name]
    return make()


def make() -> None:
    lines = []
    for name, (_, expected) in NETS.items():
        net = build(name)
        parameters = sum(parameter.numel() for parameter in net.parameters())
        assert parameters == expected, f"{name}: {parameters} parameters"
        entries = state_entries(net)
        print(f"{name}: {parameters:,} parameters, {len(entries)} entries")
        value = json.dumps({"parameters": parameters, "state": entries}, separators=(",", ":"))
        lines.append(f'"{name}":{value}')
    write_text("torchvision_keys.json", "{\n" + ",\n".join(lines) + "\n}\n")
