"""Inputs that are not stored: a hash of (seed, index), repeated bit for bit by golden.ts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable

import numpy as np
import torch
from torch import Tensor, nn

Shape = tuple[int, ...]


def hashed_array(seed: int, size: int) -> np.ndarray:
    """float32 values in [-1, 1]: the `lowbias32` finaliser over seed * golden ratio + index."""
    z = np.arange(size, dtype=np.uint32) + np.uint32(seed * 0x9E3779B1 & 0xFFFFFFFF)
    z ^= z >> np.uint32(16)
    z *= np.uint32(0x21F0AAAD)
    z ^= z >> np.uint32(15)
    z *= np.uint32(0x735A2D97)
    z ^= z >> np.uint32(15)
    return (z.astype(np.float64) / 2**31 - 1).astype(np.float32)


def _rounded(values: np.ndarray, shape: Shape) -> Tensor:
    """Every input is rounded to float32 once; all arithmetic on it is float64."""
    return torch.from_numpy(values.astype(np.float32).astype(np.float64)).reshape(shape)


def hashed(seed: int, shape: Shape, scale: float = 1.0, offset: float = 0.0) -> Tensor:
    values = hashed_array(seed, math.prod(shape)).astype(np.float64)
    return _rounded(offset + scale * values, shape)


@dataclass(frozen=True)
class Input:
    """An input as the JSON files describe it: float32(offset + scale * hashed(seed))."""

    shape: Shape
    seed: int
    scale: float = 1.0
    offset: float = 0.0

    def tensor(self) -> Tensor:
        return hashed(self.seed, self.shape, self.scale, self.offset)

    def json(self) -> dict[str, object]:
        spec: dict[str, object] = {"shape": list(self.shape), "seed": self.seed}
        if self.scale != 1:
            spec["scale"] = self.scale
        if self.offset != 0:
            spec["offset"] = self.offset
        return spec


def hashed_parameter(key: str, shape: Shape, seed: int) -> Tensor:
    """One entry of a state_dict, by its name and shape alone (the table in README.md)."""
    h = hashed_array(seed, math.prod(shape)).astype(np.float64)
    name = key.rsplit(".", 1)[-1]
    if name == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    if name == "weight" and len(shape) == 4:
        return _rounded(math.sqrt(6 / math.prod(shape[1:])) * h, shape)
    if name == "weight" and len(shape) == 2:
        return _rounded(math.sqrt(1 / shape[1]) * h, shape)
    if name == "weight":
        return _rounded(1 + 0.2 * h, shape)
    if name in ("bias", "running_mean"):
        return _rounded(0.1 * h, shape)
    if name == "running_var":
        return _rounded(1 + 0.5 * np.abs(h), shape)
    raise ValueError(f"no rule for {key} {shape}")


def state_entries(module: nn.Module) -> list[list[object]]:
    """[key, shape] in state_dict order."""
    return [[key, list(value.shape)] for key, value in module.state_dict().items()]


def fill_state(module: nn.Module, seed: int) -> None:
    """Entry number i of the state_dict gets seed + i; num_batches_tracked counts as an entry."""
    entries: Iterable[tuple[int, tuple[str, Tensor]]] = enumerate(module.state_dict().items())
    state = {key: hashed_parameter(key, tuple(value.shape), seed + i) for i, (key, value) in entries}
    module.double().load_state_dict(state)
