"""conv2d.json: the problems; conv2d.forward, conv2d.gradInput, conv2d.gradWeight: y, dx, dw and db of each."""

from __future__ import annotations

from typing import Optional

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from conv2d_problems import Problem, problems
from golden_file import as_float32, write_cases, write_tensors
from hashed import hashed

FILES = {"forward": ("y",), "gradInput": ("dx",), "gradWeight": ("dw", "db")}


def solve(p: Problem, id: int) -> dict[str, Optional[Tensor]]:
    """Seeds: 4 * id + 0 for x, 1 for the weight, 2 for the bias, 3 for the upstream gradient dy."""
    x = hashed(4 * id, (p.n, p.c, p.h, p.w)).requires_grad_()
    weight = hashed(4 * id + 1, (p.k, p.c // p.groups, p.r, p.s)).requires_grad_()
    bias = hashed(4 * id + 2, (p.k,)).requires_grad_() if p.bias else None
    top, right, bottom, left = p.padding
    padded = F.pad(x, (left, right, top, bottom))
    y = F.conv2d(padded, weight, bias, stride=p.stride, dilation=p.dilation, groups=p.groups)
    y.backward(hashed(4 * id + 3, tuple(y.shape)))
    return {"y": y, "dx": x.grad, "dw": weight.grad, "db": None if bias is None else bias.grad}


def make() -> None:
    files: dict[str, dict[str, np.ndarray]] = {file: {} for file in FILES}
    for id, problem in enumerate(problems()):
        results = solve(problem, id)
        for file, keys in FILES.items():
            for key in keys:
                value = results[key]
                if value is not None:
                    files[file][f"{id}.{key}"] = as_float32(value)
    write_cases("conv2d", [problem.json(id) for id, problem in enumerate(problems())])
    for file, tensors in files.items():
        write_tensors(f"conv2d.{file}", tensors)
