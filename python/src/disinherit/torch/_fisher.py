"""Squared gradients of samples, one by one or many at once: Fisher information of any parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable, Dict, Iterable, Optional, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from .. import DisinheritError
from ._modules import device_of, evaluating, moved, output_of, parted, single

#: The loss of one sample: from the module's output and what belongs to the sample.
Loss = Callable[[Optional[torch.Tensor], torch.Tensor], torch.Tensor]


def _one(value: Any) -> Any:
    """One sample as a batch."""
    if isinstance(value, torch.Tensor):
        return value.unsqueeze(0)
    if isinstance(value, Mapping):
        return {key: _one(item) for key, item in value.items()}
    return type(value)(_one(item) for item in value)


def _pick(inputs: Any, which: Any) -> Any:
    if isinstance(inputs, torch.Tensor):
        return inputs[which]
    if isinstance(inputs, Mapping):
        return {key: _pick(item, which) for key, item in inputs.items()}
    return type(inputs)(_pick(item, which) for item in inputs)


def add_squares(
    sums: Dict[str, torch.Tensor],
    module: nn.Module,
    loss: Loss,
    inputs: Any,
    extra: torch.Tensor,
    chunk: int,
    factor: float = 1.0,
) -> None:
    """Add ``factor`` times the squared gradient of every sample's loss: of ``chunk`` samples at once, where
    ``torch.func`` can.
    """
    from torch.func import functional_call, grad, vmap

    named = dict(module.named_parameters())
    chosen = {name: named[name].detach() for name in sums}
    fixed = {name: value.detach() for name, value in named.items() if name not in chosen}
    fixed.update((name, value.detach()) for name, value in module.named_buffers())

    def of_one(values: Dict[str, torch.Tensor], sample: Any, own: torch.Tensor) -> torch.Tensor:
        given = _one(sample)
        state = {**fixed, **values}
        if isinstance(given, Mapping):
            made = functional_call(module, state, (), dict(given))
        else:
            made = functional_call(module, state, tuple(given) if isinstance(given, (list, tuple)) else (given,))
        return loss(output_of(made), own.unsqueeze(0))

    try:
        gradients = vmap(grad(of_one), in_dims=(None, 0, 0), chunk_size=chunk)(chosen, inputs, extra)
        for name, gradient in gradients.items():
            sums[name] += gradient.float().square().sum(0, dtype=sums[name].dtype) * factor
    except RuntimeError as error:
        if "vmap" not in str(error) and "batching rule" not in str(error):
            raise
        # What cannot be done for many samples at once (control flow by values, some recurrent layers).
        for index in range(len(extra)):
            gradients = grad(of_one)(chosen, _pick(inputs, index), extra[index])
            for name, gradient in gradients.items():
                sums[name] += gradient.float().square() * factor


def _cross_entropy(output: Optional[torch.Tensor], label: torch.Tensor) -> torch.Tensor:
    if output is None:
        raise DisinheritError("the module gives back no logits: neither a tensor nor something with `logits`")
    return nn.functional.cross_entropy(output, label)


def zeros(module: nn.Module, names: Iterable[str]) -> Dict[str, torch.Tensor]:
    named = dict(module.named_parameters())
    unknown = [name for name in names if name not in named]
    if unknown:
        raise DisinheritError(f"the module has no parameter `{unknown[0]}`")
    # Double precision, where the device has it.
    sums = {}
    for name in names:
        wide = torch.float32 if named[name].device.type == "mps" else torch.float64
        sums[name] = torch.zeros_like(named[name], dtype=wide, requires_grad=False)
    return sums


def inner_fisher(
    module: nn.Module,
    loader: Iterable[Any],
    *,
    parameters: Optional[Sequence[str]] = None,
    keep: Optional[Callable[[torch.Tensor], torch.Tensor]] = None,
    chunk: int = 32,
) -> Dict[str, NDArray[np.float32]]:
    """The diagonal empirical FIM of parameters: the mean over samples of the squared gradient of the loss.

    The loss is the cross-entropy of the module's output. Per-sample gradients by ``torch.func``, ``chunk``
    samples at a time. ``keep`` picks samples by their labels (a mask).
    """
    names = [name for name, _ in module.named_parameters()] if parameters is None else list(parameters)
    sums = zeros(module, names)
    device = device_of(module)
    count = 0
    with evaluating(module):
        for batch in loader:
            inputs, labels = parted(batch)
            labels = single(labels)
            inputs, labels = moved(inputs, device), labels.to(device)
            if keep is not None:
                mask = keep(labels)
                labels, inputs = labels[mask], _pick(inputs, mask)
            if len(labels) > 0:
                add_squares(sums, module, _cross_entropy, inputs, labels, chunk)
                count += len(labels)
    if count == 0:
        raise DisinheritError("no sample was left to compute Fisher information from")
    return {name: (total / count).float().cpu().numpy() for name, total in sums.items()}
