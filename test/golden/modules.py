"""modules: outputs, gradients and running statistics of blocks: Bottleneck (its three forms agree here), DepthwiseSeparable, torchvision's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, Optional

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv3 import InvertedResidual, InvertedResidualConfig
from torchvision.ops import SqueezeExcitation

from block_forms import BranchedBottleneck
from golden_file import as_float32, write_cases, write_tensors
from hashed import Input, Shape, fill_state, state_entries
from networks import Bottleneck, depthwise_separable

FORM_AGREEMENT = 1e-11  # relative, in float64
ZERO_GRADIENT = 1e-10  # of a bias before a batch norm: zero but for rounding


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU, "relu6": nn.ReLU6, "sigmoid": nn.Sigmoid, "silu": nn.SiLU, "hardsigmoid": nn.Hardsigmoid, "hardswish": nn.Hardswish,
}


def squeeze_excitation(channels: int, squeeze: int, *, activation: str = "relu", scaleActivation: str = "sigmoid") -> nn.Module:
    return SqueezeExcitation(channels, squeeze, activation=ACTIVATIONS[activation], scale_activation=ACTIVATIONS[scaleActivation])


def inverted_residual(
    inputs: int, outputs: int, *, expandedChannels: int, activation: str, kernelSize: int = 3, stride: int = 1, squeezeChannels: Optional[int] = None,
) -> nn.Module:
    """torchvision's for MobileNetV3, which has one of two activations and squeezes to a quarter."""
    config = InvertedResidualConfig(
        inputs, kernelSize, expandedChannels, outputs, squeezeChannels is not None, "HS" if activation == "hardswish" else "RE", stride, 1, 1.0,
    )
    config.input_channels, config.expanded_channels, config.out_channels = inputs, expandedChannels, outputs  # it rounds to eights
    block = InvertedResidual(config, nn.BatchNorm2d)
    if squeezeChannels is not None:
        assert [module.fc1.out_channels for module in block.block if isinstance(module, SqueezeExcitation)] == [squeezeChannels]
    return block


MAKERS: dict[str, Callable[..., nn.Module]] = {
    "Bottleneck": Bottleneck, "DepthwiseSeparable": depthwise_separable, "SqueezeExcitation": squeeze_excitation, "InvertedResidual": inverted_residual,
}


@dataclass(frozen=True)
class Case:
    module: str
    arguments: tuple[int, int]
    x: Shape
    options: dict[str, Any] = field(default_factory=dict)
    training: bool = True

    def build(self) -> nn.Module:
        return MAKERS[self.module](*self.arguments, **self.options)


def bottlenecks() -> Iterator[Case]:
    def block(inputs: int, width: int, x: tuple[int, int, int], training: bool = True, **options: Any) -> Case:
        n, h, w = x
        return Case("Bottleneck", (inputs, width), (n, inputs, h, w), options, training)

    yield block(32, 16, (2, 5, 6), cardinality=4)
    yield block(24, 16, (2, 7, 6), cardinality=4, stride=2, projection=True)
    yield block(16, 16, (2, 5, 5), cardinality=2, projection=True, projectionBias=False)
    yield block(16, 16, (2, 7, 7), cardinality=4, stride=2, residual=False)
    yield block(32, 8, (2, 4, 5), cardinality=1, expansion=4)  # ResNet's
    yield block(13, 15, (3, 7, 5), cardinality=3, stride=2, projection=True)
    yield block(20, 10, (2, 6, 5), cardinality=5)
    yield block(32, 64, (1, 4, 4), stride=2, projection=True)  # cardinality 32
    yield block(32, 16, (2, 5, 6), cardinality=4, training=False)
    yield block(24, 16, (2, 7, 6), cardinality=4, stride=2, projection=True, training=False)


def separables() -> Iterator[Case]:
    def block(inputs: int, outputs: int, x: tuple[int, int, int], training: bool = True, **options: Any) -> Case:
        n, h, w = x
        return Case("DepthwiseSeparable", (inputs, outputs), (n, inputs, h, w), options, training)

    yield block(16, 32, (2, 7, 6))
    yield block(16, 24, (2, 7, 7), stride=2, activation="relu6")
    yield block(5, 13, (3, 6, 9), channelMultiplier=2)
    yield block(16, 16, (2, 9, 8), dilation=2)
    yield block(8, 17, (2, 9, 7), kernelSize=5, stride=2, channelMultiplier=3)
    yield block(16, 32, (2, 7, 6), norm=False)
    yield block(13, 7, (1, 8, 5), norm=False, activation="relu6", stride=2)
    yield block(9, 10, (2, 5, 5), norm=False, activation=None, dilation=2)
    yield block(12, 16, (2, 5, 7), activation=None)
    yield block(16, 32, (2, 7, 6), training=False)
    yield block(16, 24, (2, 8, 8), stride=2, activation="relu6", training=False)


def squeezes() -> Iterator[Case]:
    yield Case("SqueezeExcitation", (21, 5), (2, 21, 5, 6))
    yield Case("SqueezeExcitation", (16, 8), (3, 16, 4, 4), {"activation": "silu", "scaleActivation": "hardsigmoid"})
    yield Case("SqueezeExcitation", (8, 3), (1, 8, 1, 1), {"activation": "hardswish"}, training=False)


def inverted_residuals() -> Iterator[Case]:
    def block(inputs: int, outputs: int, x: tuple[int, int, int], training: bool = True, **options: Any) -> Case:
        n, h, w = x
        return Case("InvertedResidual", (inputs, outputs), (n, inputs, h, w), options, training)

    yield block(8, 8, (2, 6, 5), expandedChannels=24, activation="relu", training=False)  # in training the first gradients cancel
    yield block(8, 12, (2, 7, 5), expandedChannels=24, activation="hardswish", kernelSize=5, stride=2, squeezeChannels=8)
    yield block(12, 12, (2, 5, 6), expandedChannels=40, activation="hardswish", squeezeChannels=16)
    yield block(16, 16, (2, 5, 6), expandedChannels=16, activation="relu", squeezeChannels=8)
    yield block(12, 12, (2, 5, 6), expandedChannels=40, activation="hardswish", squeezeChannels=16, training=False)


def run(module: nn.Module, x: Input, dy_seed: int) -> tuple[Tensor, Tensor, Input]:
    """y, dx and the upstream gradient; leaves the parameters' gradients in the module."""
    input = x.tensor().requires_grad_()
    y = module(input)
    dy = Input(tuple(y.shape), dy_seed)
    y.backward(dy.tensor())
    return y.detach(), input.grad, dy


def is_zero_gradient(gradient: Tensor) -> bool:
    return bool(gradient.abs().max() < ZERO_GRADIENT)


def require_close(what: str, actual: Optional[Tensor], expected: Optional[Tensor]) -> None:
    if actual is None or expected is None:
        assert actual is expected, what
    elif not is_zero_gradient(expected):
        error = ((actual - expected).norm() / expected.norm()).item()
        assert error < FORM_AGREEMENT, f"{what}: {error}"


def solve(case: Case, id: int) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Seeds: 1000 * id for the state, 1000 * id + 900 for x, + 901 for dy."""
    module = case.build()
    fill_state(module, 1000 * id)
    module.train(case.training)
    forms = [BranchedBottleneck(module, form) for form in ("aggregated", "concat")] if isinstance(module, Bottleneck) else []
    x = Input(case.x, 1000 * id + 900)
    y, dx, dy = run(module, x, 1000 * id + 901)

    gradients = {key: parameter.grad for key, parameter in module.named_parameters()}
    statistics = {key: buffer for key, buffer in module.named_buffers() if buffer.dim() > 0 and case.training}
    for form in forms:
        form_y, form_dx, _ = run(form, x, 1000 * id + 901)
        require_close("y", form_y, y)
        require_close("dx", form_dx, dx)
        joined_gradients = form.grouped_values(lambda tensor: tensor.grad)
        joined_values = form.grouped_values(lambda tensor: tensor.detach())
        for key, gradient in gradients.items():
            require_close(key, joined_gradients[key], gradient)
        for key, value in statistics.items():
            require_close(key, joined_values[key], value)

    zero = [key for key, gradient in gradients.items() if is_zero_gradient(gradient)]
    description = {
        "id": id, "module": case.module, "arguments": case.arguments, "options": case.options, "training": case.training,
        "x": x.json(), "dy": dy.json(), "state": 1000 * id, "entries": state_entries(module), "zeroGradients": zero,
    }
    results = {"y": y, "dx": dx, **statistics}
    results.update({f"d.{key}": gradient for key, gradient in gradients.items() if key not in zero})
    return description, {f"{id}.{key}": as_float32(value) for key, value in results.items()}


def make() -> None:
    descriptions = []
    tensors: dict[str, np.ndarray] = {}
    for id, case in enumerate([*bottlenecks(), *separables(), *squeezes(), *inverted_residuals()]):
        description, results = solve(case, id)
        descriptions.append(description)
        tensors.update(results)
    write_cases("modules", descriptions)
    write_tensors("modules", tensors)
