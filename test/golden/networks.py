"""The networks in PyTorch, with the children and the state_dict order of groupconv's own."""

from __future__ import annotations

from collections import OrderedDict
from typing import Optional, Sequence

from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1, bias: bool = False) -> nn.Conv2d:
    """Padding keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, kernel, stride, dilation * (kernel - 1) // 2, dilation, groups, bias)


class Bottleneck(nn.Module):
    """y = relu(shortcut(x) + residual(x)): the grouped form, (c) in figure 3 of the ResNeXt paper."""

    def __init__(
        self, inputs: int, width: int, *, cardinality: int = 32, expansion: int = 2, stride: int = 1,
        projection: bool = False, projectionBias: bool = True, residual: bool = True,
    ) -> None:
        super().__init__()
        outputs = width * expansion
        self.residual = nn.Sequential(
            conv(inputs, width, 1), nn.BatchNorm2d(width), nn.ReLU(),
            conv(width, width, 3, stride=stride, groups=cardinality), nn.BatchNorm2d(width), nn.ReLU(),
            conv(width, outputs, 1), nn.BatchNorm2d(outputs),
        )
        self.shortcut: Optional[nn.Module] = None
        if residual and projection:
            self.shortcut = nn.Sequential(conv(inputs, outputs, 1, stride=stride, bias=projectionBias), nn.BatchNorm2d(outputs))
        elif residual:
            self.shortcut = nn.Identity()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.residual(x)
        return self.relu(y if self.shortcut is None else y + self.shortcut(x))


class ResNeXt(nn.Module):
    """The review's network by default. The first block of every stage has the projection."""

    def __init__(
        self, *, stem: str = "imagenet", blockRepeats: Sequence[tuple[int, int]] = ((128, 3), (256, 4), (512, 6), (1024, 3)),
        cardinality: int = 32, expansion: int = 2, numClasses: int = 1000, firstStride: int = 2,
    ) -> None:
        super().__init__()
        first = nn.Conv2d(3, 64, 7, 2, 3) if stem == "imagenet" else nn.Conv2d(3, 64, 3, 1, 1)
        self.conv1 = nn.Sequential(first, nn.BatchNorm2d(64), nn.ReLU())
        if stem == "imagenet":
            self.conv2_pool = nn.MaxPool2d(3, 2, 1)
        inputs = 64
        for stage, (width, repeats) in enumerate(blockRepeats):
            blocks = nn.Sequential()
            for index in range(repeats):
                stride = 1 if index > 0 else firstStride if stage == 0 else 2
                blocks.append(Bottleneck(inputs, width, cardinality=cardinality, expansion=expansion, stride=stride, projection=index == 0))
                inputs = width * expansion
            self.add_module(f"conv{stage + 2}_blocks", blocks)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, numClasses)

    def forward(self, x: Tensor) -> Tensor:
        for name, child in self.named_children():
            x = child(x.flatten(1)) if name == "classifier" else child(x)
        return x


def depthwise_separable(
    inputs: int, outputs: int, *, kernelSize: int = 3, stride: int = 1, dilation: int = 1, channelMultiplier: int = 1,
    norm: bool = True, activation: Optional[str] = "relu",
) -> nn.Sequential:
    """depthwise, norm, activation, pointwise, norm, activation; the convolutions have biases where there is no norm."""
    middle = inputs * channelMultiplier
    layers: OrderedDict[str, nn.Module] = OrderedDict()

    def add(name: str, layer: nn.Conv2d) -> None:
        layers[name] = layer
        if norm:
            layers[f"{name}_norm"] = nn.BatchNorm2d(layer.out_channels)
        if activation is not None:
            layers[f"{name}_activation"] = nn.ReLU6() if activation == "relu6" else nn.ReLU()

    add("depthwise", conv(inputs, middle, kernelSize, stride=stride, dilation=dilation, groups=inputs, bias=not norm))
    add("pointwise", conv(middle, outputs, 1, bias=not norm))
    return nn.Sequential(layers)


def separable_net(stem: int, stemStride: int, blocks: Sequence[tuple[int, int]], classes: int) -> nn.Sequential:
    """conv 3x3 + BN + ReLU, separable blocks (channels, stride), global average, linear."""
    layers: list[nn.Module] = [conv(3, stem, 3, stride=stemStride), nn.BatchNorm2d(stem), nn.ReLU()]
    inputs = stem
    for outputs, stride in blocks:
        layers.append(depthwise_separable(inputs, outputs, stride=stride))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def mobilenet_v1() -> nn.Sequential:
    blocks = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]
    return separable_net(32, 2, blocks, 1000)
