"""training: the losses of five steps of small networks, and a few tensors of their final state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from golden_file import as_float32, as_float64, write_cases, write_tensors
from hashed import Input, fill_state, state_entries
from networks import ResNeXt, separable_net

STEPS = 5
BATCH = 8
CLASSES = 10
RESNEXT: dict[str, Any] = {
    "stem": "cifar", "blockRepeats": [[16, 1], [32, 1], [64, 1]], "cardinality": 4, "expansion": 2, "numClasses": CLASSES, "firstStride": 1,
}
SEPARABLE: dict[str, Any] = {"stem": 16, "stemStride": 1, "blocks": [[32, 1], [64, 2], [64, 1]], "classes": CLASSES}
SGD: dict[str, Any] = {"name": "SGD", "lr": 0.05, "momentum": 0.9, "weightDecay": 1e-4, "nesterov": True}
ADAMW: dict[str, Any] = {"name": "AdamW", "lr": 1e-3, "weightDecay": 0.01}
RESNEXT_FINALS = (
    "conv1.0.weight", "conv1.1.weight", "conv1.1.running_var", "conv2_blocks.0.residual.3.weight", "conv3_blocks.0.shortcut.0.weight",
    "conv4_blocks.0.residual.7.bias", "conv4_blocks.0.residual.7.running_mean", "classifier.weight", "classifier.bias",
)
SEPARABLE_FINALS = ("0.weight", "1.running_var", "3.depthwise.weight", "4.pointwise.weight", "5.depthwise_norm.bias", "5.pointwise_norm.running_mean", "8.weight", "8.bias")


@dataclass(frozen=True)
class Run:
    network: str
    options: dict[str, Any]
    build: Callable[..., nn.Module]
    optimizer: dict[str, Any]
    finals: tuple[str, ...]
    label_smoothing: float = 0.0


RUNS = [
    Run("ResNeXt", RESNEXT, ResNeXt, SGD, RESNEXT_FINALS),
    Run("ResNeXt", RESNEXT, ResNeXt, ADAMW, ("classifier.weight", "conv2_blocks.0.residual.3.weight", "conv4_blocks.0.residual.7.weight")),
    Run("ResNeXt", RESNEXT, ResNeXt, SGD, ("classifier.weight", "conv2_blocks.0.residual.3.weight"), label_smoothing=0.1),
    Run("separable", SEPARABLE, separable_net, SGD, SEPARABLE_FINALS),
    Run("separable", SEPARABLE, separable_net, ADAMW, ("3.depthwise.weight", "8.weight")),
]


def make_optimizer(module: nn.Module, spec: dict[str, Any]) -> torch.optim.Optimizer:
    options = {"weight_decay" if key == "weightDecay" else key: value for key, value in spec.items() if key != "name"}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, spec["name"])(module.parameters(), **options)
    return optimizer


def solve(run: Run, id: int) -> tuple[dict[str, object], dict[str, np.ndarray]]:
    """Seeds: 10000 + 1000 * id for the state, + 900 for x."""
    seed = 10000 + 1000 * id
    module = run.build(**run.options)
    fill_state(module, seed)
    module.train()
    optimizer = make_optimizer(module, run.optimizer)
    x = Input((BATCH, 3, 16, 16), seed + 900)
    labels = [(i * 7 + 3) % CLASSES for i in range(BATCH)]
    losses = []
    for _ in range(STEPS):
        loss = F.cross_entropy(module(x.tensor()), torch.tensor(labels), label_smoothing=run.label_smoothing)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"training {id}: {run.network} {run.optimizer['name']} losses {[round(loss, 5) for loss in losses]}")

    entries = state_entries(module)
    state = module.state_dict()
    index = {key: i for i, key in enumerate(state)}
    description = {
        "id": id, "network": run.network, "options": run.options, "optimizer": run.optimizer, "labelSmoothing": run.label_smoothing,
        "x": x.json(), "labels": labels, "state": seed, "steps": STEPS, "entries": entries,
        "finals": [[key, index[key]] for key in run.finals],
    }
    results = {f"{id}.losses": as_float64(torch.tensor(losses, dtype=torch.float64))}
    results.update({f"{id}.{key}": as_float32(state[key]) for key in run.finals})
    return description, results


def make() -> None:
    descriptions = []
    tensors: dict[str, np.ndarray] = {}
    for id, run in enumerate(RUNS):
        description, results = solve(run, id)
        descriptions.append(description)
        tensors.update(results)
    write_cases("training", descriptions)
    write_tensors("training", tensors)
