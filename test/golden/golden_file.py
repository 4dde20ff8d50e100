"""Writes golden files: safetensors by hand (header length, JSON header, data) and JSON with one case per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parent
LARGEST = 1_200_000  # bytes; the repository carries these files for ever

_DTYPES = {np.dtype(np.float32): "F32", np.dtype(np.float64): "F64", np.dtype(np.int32): "I32"}


def as_float32(value: Tensor) -> np.ndarray:
    return value.detach().to(torch.float32).contiguous().numpy()


def as_float64(value: Tensor) -> np.ndarray:
    return value.detach().to(torch.float64).contiguous().numpy()


def write_tensors(name: str, tensors: Mapping[str, np.ndarray]) -> None:
    """Refuses what would make a test vacuous: values that are not finite, tensors that are all zero."""
    header: dict[str, object] = {}
    offset = 0
    for key, array in tensors.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: {key} is not finite")
        if not np.any(array):
            raise ValueError(f"{name}: {key} is all zero")
        end = offset + array.nbytes
        header[key] = {"dtype": _DTYPES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    data = b"".join(array.tobytes() for array in tensors.values())
    _write(f"{name}.safetensors", len(head).to_bytes(8, "little") + head + data)


def write_cases(name: str, cases: Sequence[Mapping[str, object]]) -> None:
    lines = ",\n".join(json.dumps(case) for case in cases)
    _write(f"{name}.json", f"[\n{lines}\n]\n".encode())


def write_text(file: str, text: str) -> None:
    _write(file, text.encode())


def _write(file: str, data: bytes) -> None:
    if len(data) > LARGEST:
        raise ValueError(f"{file} has {len(data)} bytes, more than {LARGEST}")
    (FOLDER / file).write_bytes(data)
    print(f"{file}: {len(data):,} bytes")
