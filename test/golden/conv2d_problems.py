"""The conv2d problems, a family per function. Small on purpose: kernels fail at edges, and the files stay small."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import product
from typing import Iterator, Optional, Union

Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, right, bottom, left


@dataclass(frozen=True)
class Problem:
    n: int
    c: int
    h: int
    w: int
    k: int
    r: int
    s: int
    stride: Pair
    padding: Sides
    dilation: Pair
    groups: int
    bias: bool

    def json(self, id: int) -> dict[str, object]:
        return {"id": id, **asdict(self)}


def pair(value: Union[int, Pair]) -> Pair:
    return (value, value) if isinstance(value, int) else value


def conv(
    n: int, c: int, h: int, w: int, k: int, kernel: Union[int, Pair], *,
    stride: Union[int, Pair] = 1, padding: Union[int, Pair, Sides, None] = None,
    dilation: Union[int, Pair] = 1, groups: int = 1, bias: bool = True,
) -> Problem:
    """Padding defaults to dilation * (kernel - 1) / 2, rounded down."""
    (r, s), (dil_h, dil_w) = pair(kernel), pair(dilation)
    if padding is None:
        padding = (dil_h * (r - 1) // 2, dil_w * (s - 1) // 2)
    if isinstance(padding, int) or len(padding) == 2:
        pad_h, pad_w = pair(padding)
        padding = (pad_h, pad_w, pad_h, pad_w)
    return Problem(n, c, h, w, k, r, s, pair(stride), padding, (dil_h, dil_w), groups, bias)


def pointwise() -> Iterator[Problem]:
    for n, c, h, w, k in [
        (1, 16, 7, 7, 16), (1, 32, 5, 9, 16), (1, 16, 5, 7, 48), (1, 64, 3, 4, 32), (1, 17, 5, 5, 13), (1, 5, 7, 7, 33),
        (3, 13, 3, 5, 5), (1, 1, 9, 9, 1), (1, 1, 6, 5, 20), (2, 20, 1, 1, 12), (1, 48, 1, 7, 16), (1, 16, 14, 1, 32), (1, 33, 14, 1, 17),
    ]:
        yield conv(n, c, h, w, k, 1, bias=k % 2 == 1)
    for n, c, h, w, k in [
        (1, 16, 7, 7, 32), (2, 32, 5, 6, 16), (1, 13, 9, 5, 17), (1, 16, 1, 1, 16), (1, 24, 8, 7, 8), (3, 5, 7, 6, 3),
    ]:
        yield conv(n, c, h, w, k, 1, stride=2, bias=k == 17)
    yield conv(1, 16, 6, 7, 16, 1, stride=(2, 1))
    yield conv(1, 7, 5, 8, 9, 1, stride=(1, 3))
    yield conv(1, 16, 4, 5, 16, 1, padding=1)  # the border is bias alone
    yield conv(1, 6, 4, 5, 9, 1, padding=(0, 2, 1, 0), stride=2)
    yield conv(1, 32, 5, 7, 32, 1, groups=4)
    yield conv(2, 15, 4, 4, 10, 1, groups=5)


def grouped_3x3() -> Iterator[Problem]:
    sizes = [(7, 7), (5, 9), (3, 14), (15, 4), (1, 1), (9, 5)]
    for per_group, groups in [(4, (4, 3, 5, 4, 8, 1)), (8, (2, 3, 2, 2, 3, 1))]:
        for stride, ((h, w), g) in product((1, 2), zip(sizes, groups)):
            yield conv(1, per_group * g, h, w, per_group * g, 3, stride=stride, groups=g, bias=g % 2 == 1)
    for stride, (h, w) in [(1, (7, 7)), (2, (7, 7)), (2, (9, 5)), (1, (1, 1)), (1, (3, 5))]:
        yield conv(1, 32, h, w, 32, 3, stride=stride, groups=2, bias=h == 7)
    for stride in (1, 2):
        yield conv(2, 8, 14, 7, 8, 3, stride=stride, groups=2)
        yield conv(3, 16, 5, 5, 16, 3, stride=stride, groups=2)
        yield conv(1, 16, 8, 8, 16, 3, stride=stride, groups=4, padding=0)  # stride 2 leaves the last row and column unread


def depthwise() -> Iterator[Problem]:
    layers = [(16, 7, 7), (8, 14, 5), (5, 9, 9), (13, 5, 15), (17, 4, 7), (33, 3, 5), (32, 1, 1), (1, 9, 7)]
    for kernel, stride, (c, h, w) in product((3, 5), (1, 2), layers):
        yield conv(1, c, h, w, c, kernel, stride=stride, groups=c, bias=c % 2 == 1)
    for multiplier, stride, (c, h, w) in product((2, 3), (1, 2), [(8, 7, 7), (5, 5, 9)]):
        yield conv(1, c, h, w, c * multiplier, 3, stride=stride, groups=c)
    yield conv(3, 16, 5, 5, 16, 3, groups=16)
    yield conv(2, 9, 6, 7, 9, 3, groups=9, padding=(0, 1, 1, 0), stride=2)  # TensorFlow's "same" at stride 2
    yield conv(1, 16, 9, 7, 16, 3, groups=16, dilation=2)
    yield conv(1, 6, 7, 8, 6, (1, 7), groups=6)
    yield conv(1, 16, 5, 6, 16, 7, groups=16)


def stem_7x7() -> Iterator[Problem]:
    for n, c, h, w, k in [(1, 3, 9, 14, 32), (2, 3, 7, 9, 13), (1, 1, 9, 11, 32), (1, 1, 15, 7, 5), (1, 4, 7, 9, 9), (1, 3, 1, 1, 8)]:
        yield conv(n, c, h, w, k, 7, stride=2, padding=3)
    yield conv(1, 3, 6, 9, 8, 7)
    yield conv(1, 3, 8, 9, 20, 3, stride=2)  # MobileNet's stem
    yield conv(2, 3, 7, 7, 16, 3)


def dense() -> Iterator[Problem]:
    for n, c, h, w, k, stride in [
        (1, 16, 7, 7, 16, 1), (1, 16, 4, 5, 32, 1), (1, 32, 3, 4, 16, 2), (2, 16, 5, 6, 16, 2), (1, 5, 7, 9, 13, 1), (1, 13, 5, 5, 17, 1),
        (1, 17, 5, 4, 13, 2), (1, 33, 3, 5, 5, 1), (3, 3, 5, 6, 7, 1), (1, 1, 8, 8, 1, 1),
    ]:
        yield conv(n, c, h, w, k, 3, stride=stride, bias=n == 1)


def odd_groups() -> Iterator[Problem]:
    for groups, c, k, h, w, stride in [  # c and k are per group
        (4, 3, 3, 7, 7, 1), (3, 3, 3, 6, 9, 2), (3, 5, 5, 7, 5, 1), (2, 5, 5, 9, 7, 2), (3, 7, 7, 5, 6, 1), (2, 7, 7, 7, 7, 2),
        (2, 12, 12, 5, 7, 1), (2, 12, 12, 4, 5, 2), (2, 24, 24, 3, 4, 1), (2, 24, 6, 5, 5, 2),
        (3, 4, 8, 5, 7, 1), (3, 8, 4, 7, 5, 2), (2, 3, 7, 6, 7, 1), (5, 2, 1, 7, 7, 1), (7, 2, 2, 5, 8, 2), (3, 6, 10, 5, 5, 1), (2, 12, 5, 5, 6, 2), (11, 1, 4, 5, 5, 1),
    ]:
        yield conv(1, c * groups, h, w, k * groups, 3, stride=stride, groups=groups, bias=groups != 3)


def kernels() -> Iterator[Problem]:
    for index, kernel in enumerate([(1, 3), (3, 1), (5, 5), (2, 2), (7, 1), (1, 7), (3, 5), (4, 4)]):
        yield conv(1, 6, 9, 8, 7, kernel)
        yield conv(1, 12, 7, 7, 12, kernel, groups=3, stride=1 + index % 2)


def strides() -> Iterator[Problem]:
    for stride in [(2, 1), (1, 2), (3, 3), (4, 2)]:
        yield conv(1, 5, 9, 10, 6, 3, stride=stride)
        yield conv(1, 12, 8, 9, 12, 3, stride=stride, groups=3)
        yield conv(1, 9, 8, 7, 9, 3, stride=stride, groups=9)
    yield conv(1, 4, 9, 9, 6, 2, stride=3)  # gaps between the windows: zeros in dx
    yield conv(1, 16, 7, 9, 16, 3, stride=2, groups=2, padding=0)


def dilations() -> Iterator[Problem]:
    options: list[tuple[Union[int, Pair], Optional[int]]] = [(2, None), ((1, 2), None), ((3, 2), 1), (2, 0)]
    for dilation, padding in options:
        yield conv(1, 6, 9, 8, 5, 3, dilation=dilation, padding=padding)
        yield conv(1, 12, 7, 8, 12, 3, dilation=dilation, padding=padding, groups=3)
        yield conv(1, 10, 9, 9, 10, 3, dilation=dilation, padding=padding, groups=10, stride=2)


def paddings() -> Iterator[Problem]:
    for sides in [(0, 1, 1, 0), (1, 0, 0, 1), (2, 1, 0, 3), (0, 0, 2, 2)]:
        yield conv(1, 5, 7, 6, 6, 3, padding=sides)
        yield conv(1, 12, 7, 8, 12, 3, padding=sides, groups=3, stride=2)
        yield conv(1, 9, 5, 6, 9, 3, padding=sides, groups=9)
    yield conv(1, 4, 5, 5, 6, 3, padding=4)  # whole windows of padding
    yield conv(1, 16, 3, 5, 16, 3, padding=3, groups=4)
    yield conv(1, 8, 4, 4, 8, 3, padding=(5, 3, 3, 4), groups=8, stride=2)
    yield conv(1, 16, 5, 5, 16, 3, padding=(3, 0), groups=2)


def thin() -> Iterator[Problem]:
    for h, w in [(1, 1), (1, 9), (15, 1), (2, 2)]:
        yield conv(2, 7, h, w, 6, 3)
        yield conv(1, 16, h, w, 16, 3, groups=4, stride=2)
    yield conv(1, 12, 1, 15, 12, 3, groups=12)
    yield conv(1, 16, 17, 1, 16, 5, groups=16, stride=2)
    yield conv(3, 8, 1, 16, 8, 3, groups=1)


def tiles() -> Iterator[Problem]:
    """Wide enough for full register tiles (14 pixels), several rows, whole and partial channel blocks, many groups."""
    yield from [
        conv(1, 32, 6, 28, 32, 3, groups=8),
        conv(1, 32, 7, 28, 32, 3, groups=8, stride=2),
        conv(1, 20, 5, 29, 20, 3, groups=5),
        conv(8, 16, 5, 6, 16, 3, groups=4),
        conv(1, 256, 2, 3, 256, 3, groups=64),
        conv(1, 32, 5, 30, 32, 3, groups=4),
        conv(1, 16, 8, 28, 16, 3, groups=2, stride=2),
        conv(1, 24, 5, 17, 24, 3, groups=3),
        conv(1, 32, 5, 28, 32, 3, groups=2),
        conv(1, 32, 6, 29, 32, 3, groups=2, stride=2),
        conv(1, 64, 2, 16, 64, 3, groups=2),
        conv(1, 64, 7, 7, 64, 3, groups=2, stride=2),
        conv(1, 36, 4, 15, 36, 3, groups=3),
        conv(1, 32, 6, 28, 32, 3, groups=32),
        conv(1, 32, 7, 29, 32, 3, groups=32, stride=2),
        conv(1, 16, 6, 28, 16, 5, groups=16),
        conv(1, 80, 3, 14, 80, 3, groups=80),
        conv(1, 16, 4, 28, 32, 3, groups=16),
        conv(1, 64, 4, 14, 64, 1),
        conv(1, 32, 3, 28, 64, 1),
        conv(1, 48, 5, 11, 48, 1),
        conv(1, 64, 4, 28, 32, 1, stride=2),
        conv(1, 1040, 1, 2, 8, 1),
        conv(1, 8, 1, 7, 528, 1),
        conv(1, 3, 7, 56, 64, 7, stride=2, padding=3),
        conv(1, 16, 4, 28, 32, 3),
        conv(1, 32, 6, 15, 32, 3, stride=2),
    ]


def problems() -> list[Problem]:
    """A problem's id is its index here, and its inputs follow from its id: new ones go to the end."""
    families = [pointwise, grouped_3x3, depthwise, stem_7x7, dense, odd_groups, kernels, strides, dilations, paddings, thin, tiles]
    return [problem for family in families for problem in family()]
