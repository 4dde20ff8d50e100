"""Writes the golden files of this folder with PyTorch, in float64. README.md says how to run it and what the files hold."""

from __future__ import annotations

import argparse
from typing import Callable

import torch

import conv2d
import generator
import modules
import nets
import ops
import resize
import review
import torchvision_nets
import training

PARTS: dict[str, Callable[[], None]] = {
    "generator": generator.make,
    "conv2d": conv2d.make,
    "ops": ops.make,
    "modules": modules.make,
    "training": training.make,
    "nets": nets.make,
    "torchvision": torchvision_nets.make,
    "review": review.make,
    "resize": resize.make,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of: {', '.join(PARTS)} (default: all)")
    parts = parser.parse_args().parts or list(PARTS)
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        parser.error(f"unknown parts: {', '.join(unknown)}")
    torch.set_num_threads(1)  # one order of summation
    for part in parts:
        PARTS[part]()


if __name__ == "__main__":
    main()
