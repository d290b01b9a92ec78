"""Modules forget in place, and weights of a registry go back into modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, Optional, Tuple, Union

import torch
from torch import nn

from .. import DisinheritError, Registry
from .._arguments import Labels, Options
from .._capture import Capture, data_from
from .._data import Data
from .._disinherit import reaches_features
from .._forgotten import Forgotten, forget_alone, known
from ..results import InnerEdit
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
    depth: str = "auto",
    layer: Optional[str] = None,
    loader: Optional[Any] = None,
    heldout: Optional[Any] = None,
    progress: bool = False,
    **options: Any,
) -> Forgotten:
    """Make one module, or its state dict, forget classes, in place (FIUn on itself).

    With ``loader`` the features forget too: the penultimate layer is edited, the last linear layer or convolution
    below the head, or the one that ``layer`` names as in ``named_modules()``. Up to 2,500 samples of the loader are
    run again for that, most often three times, and the module is judged on its samples and on those of ``heldout``. Where it
    cannot be done the outputs are edited alone, and a warning says why. ``depth="features"`` insists on the loader,
    ``depth="outputs"`` edits the outputs alone, as does any option about dampening (``alpha`` and the like).

    With ``layers`` (``"all"``, or patterns of parameters' names) inner parameters are dampened instead: the samples
    of ``loader`` are run again, for per-sample gradients and for the choice of alpha.

    Options are those of :meth:`disinherit.Registry.unlearn`.
    """
    parameters = _weights(module, captured.head)
    wanted = known(classes, captured.label_names)
    data, why_not = None, None
    reached = layers is None and reaches_features(Options(depth=depth, **options))
    if layer is not None and not reached:
        raise DisinheritError("`layer=` names what an edit of the features changes, and only the outputs are edited here")
    if layers is not None or reached:
        data, why_not = _run_again(module, captured, loader, heldout, layer)
        if data is None and (layers is not None or depth == "features" or layer is not None):
            raise DisinheritError(f"what lies below the head cannot be edited: {why_not}")
    registry = Registry.memory()
    if data is None or not isinstance(module, nn.Module):
        data, depth = data_from(captured, "captured"), "outputs"
        head = {part: matrix_of(value) for part, value in parameters.items()}
        registry.add("module", head, labels=captured.label_names, head="head", trained_on="captured")
    else:
        registry.add("module", module, labels=captured.label_names, head=captured.head, trained_on="captured")
        parameters = dict(module.named_parameters())
    outcome, result = forget_alone(
        registry, "module", data, wanted, progress, layers=layers, depth=depth, **options
    )
    if why_not is not None:
        result.warnings.append(f"module: only its outputs were edited: {why_not}")
        result.inner = InnerEdit("none", layer=None, reference=None, ridge=None, trials=[], refined=None, one_layer_only=None, outputs_only=why_not)
    if options.get("dry_run"):
        return result
    new = state_dict(registry, "module")
    with torch.no_grad():
        for name in (name for name, tensor in outcome.tensors.items() if tensor.changed > 0):
            parameters[name].copy_(new[name].reshape(parameters[name].shape))
    return result


def _run_again(
    module: Union[nn.Module, Mapping[str, torch.Tensor]],
    captured: Capture,
    loader: Optional[Any],
    heldout: Optional[Any],
    layer: Optional[str],
) -> Tuple[Optional[Data], Optional[str]]:
    """Data with which a module is run again; or the reason why it cannot be."""
    if not isinstance(module, nn.Module):
        return None, "that needs the module itself, not its state dict"
    if loader is None:
        return None, "that needs the samples again: give `loader=`"
    try:
        names = captured.label_names
        return samples(module, loader, labels=names, heldout=heldout, name="captured", layer=layer), None
    except DisinheritError as error:
        return None, str(error)


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
