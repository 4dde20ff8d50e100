"""ops: value and gradients of every operator but conv2d, for the cases of op_cases.py."""

from __future__ import annotations

import numpy as np

from golden_file import as_float32, as_float64, write_cases, write_tensors
from hashed import Input
from op_cases import Case, cases

BUFFERS = ("runningMean", "runningVar")


def solve(case: Case, id: int) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Seeds are written into the JSON: 10 * id + the input's position, and 10 * id + 9 for dy."""
    inputs = {name: Input(seed=10 * id + position, **spec) for position, (name, spec) in enumerate(case.inputs.items())}
    tensors = {name: spec.tensor().requires_grad_(name not in BUFFERS) for name, spec in inputs.items()}
    y = case.forward(*tensors.values())
    description: dict[str, object] = {
        "id": id, "op": case.op, "options": case.options, "inputs": {name: spec.json() for name, spec in inputs.items()},
    }
    if y.dim() == 0:
        y.backward()
    else:
        dy = Input(tuple(y.shape), seed=10 * id + 9)
        description["dy"] = dy.json()
        y.backward(dy.tensor())
    results = {"y": as_float64(y) if y.dim() == 0 else as_float32(y)}
    for name, tensor in tensors.items():
        if tensor.grad is not None:
            results[f"d{name}"] = as_float32(tensor.grad)
        elif case.options.get("training"):
            results[name] = as_float32(tensor)  # running statistics after the step
    return description, {f"{id}.{name}": value for name, value in results.items()}


def make() -> None:
    descriptions = []
    tensors: dict[str, np.ndarray] = {}
    for id, case in enumerate(cases()):
        description, results = solve(case, id)
        descriptions.append(description)
        tensors.update(results)
    write_cases("ops", descriptions)
    write_tensors("ops", tensors)
