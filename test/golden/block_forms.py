"""Forms (a) aggregated and (b) concat of the ResNeXt block, made from a grouped block (c): cardinality separate branches."""

from __future__ import annotations

from copy import deepcopy
from typing import Callable, Optional

import torch
from torch import Tensor, nn

from networks import Bottleneck, conv


class BranchedBottleneck(nn.Module):
    """aggregated: y = relu(shortcut(x) + BN(sum_i T_i(x))); concat: the last 1x1 convolution takes the branches' concatenation."""

    def __init__(self, grouped: Bottleneck, form: str) -> None:
        super().__init__()
        reduce, _, _, spatial, _, _, expand, norm = deepcopy(grouped.residual)
        cardinality, aggregated = spatial.groups, form == "aggregated"
        each = spatial.out_channels // cardinality
        self.branches = nn.ModuleList()
        for _ in range(cardinality):
            branch = nn.Sequential(
                conv(reduce.in_channels, each, 1), nn.BatchNorm2d(each), nn.ReLU(),
                conv(each, each, 3, stride=spatial.stride[0]), nn.BatchNorm2d(each), nn.ReLU(),
            )
            if aggregated:
                branch.append(conv(each, expand.out_channels, 1))
            self.branches.append(branch)
        self.expand: Optional[nn.Module] = None if aggregated else expand
        self.norm = norm
        self.shortcut = deepcopy(grouped.shortcut)
        self.double().train(grouped.training)
        self._take(grouped)

    def forward(self, x: Tensor) -> Tensor:
        branches = [branch(x) for branch in self.branches]
        joined = torch.stack(branches).sum(0) if self.expand is None else self.expand(torch.cat(branches, 1))
        y = self.norm(joined)
        return torch.relu(y if self.shortcut is None else y + self.shortcut(x))

    def grouped_values(self, value: Callable[[Tensor], Optional[Tensor]]) -> dict[str, Optional[Tensor]]:
        """value(...) of every parameter and buffer, joined under the grouped block's keys."""
        joined: dict[str, Optional[Tensor]] = {}
        for key, tensors in self._by_grouped_key().items():
            values = [value(tensor) for tensor in tensors]
            parts = [part for part in values if part is not None]
            joined[key] = None if len(parts) < len(values) else parts[0] if len(parts) == 1 else torch.cat(parts, self._axis(key))
        return joined

    def _take(self, grouped: Bottleneck) -> None:
        state = grouped.state_dict()
        for key, tensors in self._by_grouped_key().items():
            parts = state[key].chunk(len(tensors), self._axis(key)) if len(tensors) > 1 else [state[key]]
            for tensor, part in zip(tensors, parts):
                tensor.data.copy_(part)

    @staticmethod
    def _axis(key: str) -> int:
        return 1 if key == "residual.6.weight" else 0  # the last 1x1 is split by its inputs, all else by its outputs

    def _by_grouped_key(self) -> dict[str, list[Tensor]]:
        named: dict[str, list[Tensor]] = {}
        for key, tensor in [*self.named_parameters(), *self.named_buffers()]:
            head, _, rest = key.partition(".")
            if rest.endswith("num_batches_tracked"):
                continue
            if head == "branches":
                key = f"residual.{rest.partition('.')[2]}"
            elif head != "shortcut":
                key = f"residual.{6 if head == 'expand' else 7}.{rest}"
            named.setdefault(key, []).append(tensor)
        return named
