"""resize.safetensors: interpolate(mode="bilinear", antialias=True) of a hashed image [2, 13, 17] to several sizes."""

from __future__ import annotations

import torch.nn.functional as F

from golden_file import as_float64, write_tensors
from hashed import hashed

SIZES = ((13, 17), (5, 6), (1, 1), (26, 40), (7, 34), (20, 3))


def make() -> None:
    image = hashed(11, (1, 2, 13, 17))
    write_tensors(
        "resize",
        {f"{h}x{w}": as_float64(F.interpolate(image, (h, w), mode="bilinear", antialias=True)[0]) for h, w in SIZES},
    )
