"""generator.safetensors: the hash generator and the parameter rule themselves, so that golden.ts can be checked bit for bit."""

from __future__ import annotations

from golden_file import as_float32, write_tensors
from hashed import hashed_array, hashed, hashed_parameter

SEEDS = (0, 1, 2, 3, 77, 4095, 65536, 2**31 - 1, 2**31, 2**32 - 1)
PARAMETERS = (
    ("conv.weight", (5, 3, 3, 3)),
    ("linear.weight", (7, 6)),
    ("bn.weight", (11,)),
    ("bn.bias", (11,)),
    ("bn.running_mean", (11,)),
    ("bn.running_var", (11,)),
)


def make() -> None:
    tensors = {f"hashed.{seed}": hashed_array(seed, 64) for seed in SEEDS}
    tensors["input.5"] = as_float32(hashed(5, (64,), scale=1.75, offset=1000.0))  # scale and offset of an input
    for seed, (key, shape) in enumerate(PARAMETERS, start=100):
        tensors[f"parameter.{seed}.{key}"] = as_float32(hashed_parameter(key, shape, seed))
    write_tensors("generator", tensors)
