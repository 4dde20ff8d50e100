"""The operators' cases, a family per function. Options carry the library's names; `forward` says the same in PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any, Callable, Iterator, Union

import torch
import torch.nn.functional as F
from torch import Tensor

Size = Union[int, tuple[int, int]]


@dataclass(frozen=True)
class Case:
    op: str
    inputs: dict[str, dict[str, Any]]  # name -> the fields of hashed.Input but the seed
    options: dict[str, Any]
    forward: Callable[..., Tensor]


def of(*shape: int, scale: float = 1.0, offset: float = 0.0) -> dict[str, Any]:
    return {"shape": shape, "scale": scale, "offset": offset}


def batch_norm(x: dict[str, Any], training: bool, eps: float = 1e-5, momentum: float = 0.1) -> Case:
    c = x["shape"][1]
    inputs = {
        "x": x, "weight": of(c, scale=0.5, offset=1.0), "bias": of(c),
        "runningMean": of(c), "runningVar": of(c, scale=0.5, offset=1.0),
    }

    def forward(x: Tensor, weight: Tensor, bias: Tensor, runningMean: Tensor, runningVar: Tensor) -> Tensor:
        return F.batch_norm(x, runningMean, runningVar, weight, bias, training, momentum, eps)

    return Case("batchNorm", inputs, {"training": training, "eps": eps, "momentum": momentum}, forward)


def batch_norms() -> Iterator[Case]:
    for shape in [(2, 8, 7, 7), (3, 5, 4, 6), (4, 13, 1, 1), (2, 17, 3, 5), (1, 33, 5, 4), (2, 16, 9, 7), (5, 3, 1, 7), (1, 1, 9, 9), (8, 64, 2, 2)]:
        yield batch_norm(of(*shape), training=True)
        yield batch_norm(of(*shape), training=False)
    yield batch_norm(of(2, 6, 8, 8, scale=sqrt(3), offset=1000), training=True)  # mean 1000, deviation 1
    yield batch_norm(of(4, 19, 3, 4, scale=0.01, offset=-1), training=True)
    yield batch_norm(of(2, 7, 5, 5), training=True, eps=1e-3, momentum=0.01)
    yield batch_norm(of(2, 7, 5, 5), training=False, eps=1e-3)


def activations() -> Iterator[Case]:
    for shape in [(2, 5, 7, 9), (1, 16, 6, 6), (3, 17), (1, 1, 1, 1)]:
        yield Case("relu", {"x": of(*shape, offset=0.3)}, {}, lambda x: F.relu(x))
        yield Case("relu6", {"x": of(*shape, scale=8, offset=3)}, {}, lambda x: F.relu6(x))


def max_pool(x: dict[str, Any], kernel: Size, stride: Size, padding: Size) -> Case:
    def forward(x: Tensor) -> Tensor:
        for plane in x.detach().reshape(-1, x.shape[2] * x.shape[3]):
            if plane.unique().numel() != plane.numel():
                raise ValueError("a tie: the maximum's place would be a convention")
        return F.max_pool2d(x, kernel, stride, padding)

    return Case("maxPool2d", {"x": x}, {"kernelSize": kernel, "stride": stride, "padding": padding}, forward)


def max_pools() -> Iterator[Case]:
    yield max_pool(of(2, 5, 9, 9), 3, 2, 1)
    yield max_pool(of(1, 16, 14, 13), 3, 2, 1)
    yield max_pool(of(1, 33, 8, 7), 3, 2, 1)
    yield max_pool(of(2, 3, 1, 1), 3, 2, 1)
    yield max_pool(of(1, 16, 8, 8), 2, 2, 0)
    yield max_pool(of(2, 7, 7, 9), 2, 2, 0)  # an unread last row and column
    yield max_pool(of(1, 13, 8, 7), (3, 2), (2, 1), (1, 0))
    yield max_pool(of(1, 6, 7, 8), 3, 1, 1)
    yield max_pool(of(2, 4, 11, 10), 5, 3, 2)
    yield max_pool(of(1, 5, 9, 8), 2, 3, 0)  # gaps between the windows
    yield max_pool(of(2, 5, 7, 6, offset=-2), 3, 2, 1)  # all negative: padding must not win


def avg_pool(x: dict[str, Any], kernel: Size, stride: Size, padding: Size, count_include_pad: bool = True) -> Case:
    options = {"kernelSize": kernel, "stride": stride, "padding": padding, "countIncludePad": count_include_pad}
    return Case("avgPool2d", {"x": x}, options, lambda x: F.avg_pool2d(x, kernel, stride, padding, False, count_include_pad))


def avg_pools() -> Iterator[Case]:
    yield avg_pool(of(2, 5, 8, 8), 2, 2, 0)
    yield avg_pool(of(1, 17, 7, 9), 2, 2, 0)
    for count_include_pad in (True, False):
        yield avg_pool(of(1, 16, 9, 8), 3, 2, 1, count_include_pad)
        yield avg_pool(of(2, 3, 6, 7), (3, 2), (1, 2), (1, 0), count_include_pad)
    yield avg_pool(of(1, 13, 7, 7), 7, 7, 0)
    yield avg_pool(of(1, 4, 6, 6), 3, 1, 1)


def adaptive_avg_pools() -> Iterator[Case]:
    for shape, output in [
        ((2, 5, 7, 7), 1), ((2, 33, 4, 4), 1), ((1, 16, 9, 5), 1), ((2, 7, 1, 1), 1), ((2, 5, 7, 5), (3, 2)), ((1, 16, 10, 7), (4, 4)),
        ((1, 3, 8, 8), (2, 4)), ((1, 4, 3, 4), (5, 5)), ((1, 9, 7, 7), 7),
    ]:
        yield Case("adaptiveAvgPool2d", {"x": of(*shape)}, {"outputSize": output}, lambda x, output=output: F.adaptive_avg_pool2d(x, output))


def linears() -> Iterator[Case]:
    for n, c, k in [(3, 5, 7), (2, 33, 10), (1, 64, 17), (4, 128, 40), (9, 16, 32), (1, 1, 1)]:
        inputs = {"x": of(n, c), "weight": of(k, c)}
        yield Case("linear", {**inputs, "bias": of(k)}, {}, F.linear)
        yield Case("linear", inputs, {}, F.linear)


def softmaxes() -> Iterator[Case]:
    logits = [
        (of(2, 10), -1), (of(3, 17, scale=5), -1), (of(1, 1000), -1), (of(4, 1000, scale=1000), -1), (of(3, 10, offset=1000), -1),
        (of(3, 10, scale=3, offset=-1000), -1), (of(2, 5, 3, 4, scale=2), 1), (of(5, 1, scale=3, offset=7), 0),
    ]
    for x, dim in logits:
        yield Case("softmax", {"x": x}, {"dim": dim}, lambda x, dim=dim: F.softmax(x, dim))
        yield Case("logSoftmax", {"x": x}, {"dim": dim}, lambda x, dim=dim: F.log_softmax(x, dim))


def cross_entropies() -> Iterator[Case]:
    for logits in [of(4, 10), of(3, 17, scale=5), of(1, 5), of(2, 1000), of(3, 10, scale=1000), of(8, 10, scale=3, offset=1000)]:
        n, classes = logits["shape"]
        labels = [(i * 7 + 3) % classes for i in range(n)]
        for smoothing in (0.0, 0.1):
            def forward(logits: Tensor, labels: list[int] = labels, smoothing: float = smoothing) -> Tensor:
                return F.cross_entropy(logits, torch.tensor(labels), label_smoothing=smoothing)

            yield Case("crossEntropy", {"logits": logits}, {"labels": labels, "labelSmoothing": smoothing}, forward)


def smooth_activations() -> Iterator[Case]:
    for shape in [(2, 5, 7, 9), (1, 21, 6, 6), (3, 17), (4, 1, 1, 1)]:
        for name in ("sigmoid", "silu", "hardsigmoid", "hardswish"):
            def forward(x: Tensor, name: str = name) -> Tensor:
                return torch.sigmoid(x) if name == "sigmoid" else getattr(F, name)(x)

            yield Case(name, {"x": of(*shape, scale=6, offset=0.3)}, {}, forward)


def broadcasts() -> Iterator[Case]:
    """Both orders; values of every image's channels, of all images', and of x's own shape."""
    for op, forward in [("mul", torch.mul), ("add", torch.add)]:
        for shape in [(2, 21, 5, 7), (3, 3, 6, 5), (2, 8, 1, 1), (1, 33, 9, 8)]:
            for images in {1: None, shape[0]: None}:
                x, values = of(*shape), of(images, shape[1], 1, 1, offset=0.5)
                yield Case(op, {"a": x, "b": values}, {}, forward)
                yield Case(op, {"a": values, "b": x}, {}, forward)
        for shape in [(2, 5, 3, 4), (3, 17), (7,)]:
            yield Case(op, {"a": of(*shape), "b": of(*shape, offset=0.5)}, {}, forward)


def cases() -> list[Case]:
    """A case's id is its index here, and its inputs follow from its id: new ones go to the end."""
    families = [batch_norms, activations, max_pools, avg_pools, adaptive_avg_pools, linears, softmaxes, cross_entropies, smooth_activations, broadcasts]
    return [case for family in families for case in family()]
