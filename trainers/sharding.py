"""Fully sharded data parallelism (Zhao et al. 2023, arXiv 2304.11277): each process keeps a part of every weight.

PyTorch's FSDP2 gathers a layer's weights for as long as they are used, and sums its gradients into parts. It is used
directly: accelerate would wrap model, optimizer and loader around a loop of its own kind, and calls the same function.
Everything here does the plain thing with a model that is not sharded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from trainers.distributed import rank, world
from trainers.layers import layers
from trainers.precision import device


def shard(model: Any) -> None:
    """Split all weights over the processes, in place, and move them to the device; gradients are summed, not averaged.

    A model on the CPU comes to an accelerator layer by layer, so that no device ever holds the whole.
    """
    mesh = init_device_mesh(device().type, (world(),))
    for module in [*layers(model), model]:
        fully_shard(module, mesh=mesh)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sums


def is_sharded(model: Any) -> bool:
    """Whether `shard` split the model: its processes then have to make every pass together."""
    return isinstance(model, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor; every process has to ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Whole tensors, those that were split in the CPU's memory, in process 0; the others take part and get nothing."""
    found = {}
    for name, tensor in tensors.items():
        all_of_it = whole(tensor)
        if rank() == 0:
            found[name] = all_of_it.cpu() if isinstance(tensor, DTensor) else all_of_it
    return found


@torch.no_grad()
def put(tensor: Tensor, into: Tensor) -> None:
    """Copy a whole tensor into one that may be split."""
    into.copy_(split_like(tensor, into))


def split_like(tensor: Tensor, other: Tensor) -> Tensor:
    """The tensor on the device of `other`, and split as that is if they have one shape."""
    moved = tensor.to(other.device)
    if isinstance(other, DTensor) and tensor.shape == other.shape:
        return distribute_tensor(moved, other.device_mesh, other.placements)
    return moved
