"""Modules and batches: how they are called, what belongs to what."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Iterator, Optional, Tuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import DisinheritError


@contextlib.contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode for a while; every part is then as it was."""
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, state in training.items():
            child.training = state


def device_of(module: nn.Module) -> torch.device:
    """Where the module is."""
    parameter = next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def moved(value: Any, device: torch.device) -> Any:
    """Inputs, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: moved(item, device) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(moved(item, device) for item in value)
    return value


def parted(batch: Any) -> Tuple[Any, Any]:
    """Inputs and labels of a batch: a pair, or a mapping with ``labels`` or ``label``."""
    if isinstance(batch, Mapping):
        for key in ("labels", "label"):
            if key in batch:
                return {name: item for name, item in batch.items() if name != key}, batch[key]
        raise DisinheritError("a batch that is a mapping needs `labels`")
    if isinstance(batch, (list, tuple)) and len(batch) >= 2:
        return batch[0], batch[1]
    raise DisinheritError("a batch is a pair of inputs and labels, or a mapping with `labels`")


def single(labels: Any) -> torch.Tensor:
    """The labels of a batch, one for each sample."""
    found = torch.as_tensor(labels)
    if found.dim() > 1 and found.numel() != found.shape[0]:
        raise DisinheritError(
            f"labels of shape {list(found.shape)}: here a sample has one; `capture` takes one for each position"
        )
    return found.reshape(-1)


def called(module: nn.Module, inputs: Any) -> Any:
    """The module's output."""
    if isinstance(inputs, Mapping):
        return module(**inputs)
    if isinstance(inputs, (list, tuple)):
        return module(*inputs)
    return module(inputs)


def output_of(made: Any) -> Optional[torch.Tensor]:
    """The logits among what a module gave back, where it is plain which they are."""
    if isinstance(made, Mapping):
        made = made.get("logits")
    elif isinstance(made, (list, tuple)):
        made = made[0] if made else None
    made = getattr(made, "logits", made)
    return made if isinstance(made, torch.Tensor) else None


def rows_of(values: torch.Tensor) -> NDArray[np.float32]:
    """A matrix as the engine reads it."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy())
