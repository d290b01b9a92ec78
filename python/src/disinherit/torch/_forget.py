"""Modules forget in place, and weights of a registry go back into modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Optional, Union

import torch
from torch import nn

from .. import DisinheritError, Registry
from .._arguments import Labels
from .._capture import Capture, data_from
from .._forgotten import Forgotten, forget_alone, known
from ._heads import head_of, matrix_of
from ._samples import samples

_TORCH_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def _weights(
    module: Union[nn.Module, Mapping[str, torch.Tensor]], name: str
) -> Dict[str, torch.Tensor]:
    """The weight and, where there is one, the bias of the head of a module or of its state dict."""
    if isinstance(module, nn.Module):
        layer = head_of(module, name)
        found: Dict[str, Optional[torch.Tensor]] = {"head.weight": layer.weight, "head.bias": layer.bias}
    elif f"{name}.weight" not in module:
        raise DisinheritError(f"the state dict has no `{name}.weight`")
    else:
        found = {"head.weight": module[f"{name}.weight"], "head.bias": module.get(f"{name}.bias")}
    return {part: value for part, value in found.items() if value is not None}


def forget(
    module: Union[nn.Module, Mapping[str, torch.Tensor]],
    captured: Capture,
    *,
    classes: Labels,
    layers: Optional[Labels] = None,
    depth: str = "outputs",
    layer: Optional[str] = None,
    loader: Optional[Any] = None,
    heldout: Optional[Any] = None,
    progress: bool = False,
    **options: Any,
) -> Forgotten:
    """Make one module, or its state dict, forget classes, in place (FIUn on itself).

    With ``layers`` (``"all"``, or patterns of parameters' names) inner parameters are dampened too: the samples
    of ``loader`` are run again, for per-sample gradients and for the choice of alpha, and the module is judged on
    them and on those of ``heldout``.

    With ``depth="features"`` the penultimate layer is edited too, from samples of ``loader``, so that the features
    forget: the last linear layer or convolution below the head, or the one that ``layer`` names as in
    ``named_modules()``. Where that cannot be done the outputs are edited alone, and a warning says why.

    Options are those of :meth:`disinherit.Registry.unlearn`.
    """
    parameters = _weights(module, captured.head)
    wanted = known(classes, captured.label_names)
    registry = Registry.memory()
    if layers is None and depth == "outputs":
        if layer is not None:
            raise DisinheritError("`layer=` names what `depth=\"features\"` edits; give that too")
        data = data_from(captured, "captured")
        head = {part: matrix_of(value) for part, value in parameters.items()}
        registry.add("module", head, labels=captured.label_names, head="head", trained_on="captured")
    else:
        if not isinstance(module, nn.Module):
            raise DisinheritError("inner layers need the module itself, not its state dict")
        if loader is None:
            raise DisinheritError("inner layers need the samples again: give `loader=`")
        data = samples(module, loader, labels=captured.label_names, heldout=heldout, name="captured", layer=layer)
        registry.add("module", module, labels=captured.label_names, head=captured.head, trained_on="captured")
        parameters = dict(module.named_parameters())
        options.update(layers=layers, depth=depth)
    outcome, result = forget_alone(registry, "module", data, wanted, progress, **options)
    if options.get("dry_run"):
        return result
    new = state_dict(registry, "module")
    with torch.no_grad():
        for name in (name for name, tensor in outcome.tensors.items() if tensor.changed > 0):
            parameters[name].copy_(new[name].reshape(parameters[name].shape))
    return result


def state_dict(registry: Registry, model: str) -> Dict[str, torch.Tensor]:
    """The weights of a model of a registry, for ``module.load_state_dict``."""
    found = {}
    for name, (dtype, shape, raw) in registry.tensors(model).items():
        if dtype not in _TORCH_TYPES:
            raise DisinheritError(f"`{name}` has the type {dtype}, which torch does not have")
        # Shares the array's memory.
        flat = torch.from_numpy(raw) if raw.size else torch.empty(0, dtype=torch.uint8)
        found[name] = flat.view(_TORCH_TYPES[dtype]).reshape(shape)
    return found


def load(registry: Registry, model: str, module: nn.Module) -> None:
    """Put the weights of a model of a registry into a module."""
    module.load_state_dict(state_dict(registry, model))
