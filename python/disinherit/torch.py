"""Modules of your own: capture what goes into their heads, and make them forget, in place.

>>> from disinherit.torch import capture, forget
>>> forget(model, capture(model, loader, labels=names), classes=["cat"])
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from . import Data, DisinheritError, Labels, Registry, _listed, _progress
from ._networks import HeadSeen, called, device_of, evaluating, head_of, inner_fisher, moved, parted, rows_of, samples

__all__ = [
    "Capture",
    "Forgotten",
    "capture",
    "data_of",
    "find_head",
    "forget",
    "inner_fisher",
    "load",
    "samples",
    "state_dict",
]

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


def find_head(module: nn.Module, classes: Optional[int] = None) -> str:
    """The name of the last ``nn.Linear`` that is registered, with ``classes`` outputs where that is known."""
    layers = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, nn.Linear)]
    fitting = [name for name, layer in layers if classes is None or layer.out_features == classes]
    if not fitting:
        known = ", ".join(f"{name} with {layer.out_features}" for name, layer in layers[-8:]) or "none"
        raise DisinheritError(
            f"no linear layer has {classes} outputs (linear layers: {known}); name the head with `head`"
        )
    return fitting[-1]


@dataclass
class Capture:
    """What a module makes of samples: the input and the output of its head."""

    head: str
    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray
    label_names: List[str]
    ids: Optional[List[str]] = None
    heldout: Optional[np.ndarray] = None

    def __len__(self) -> int:
        return len(self.labels)

    def save(self, path: Any, model: Optional[str] = None) -> None:
        """Write a file of features, for the command line's ``--data`` (needs ``safetensors``)."""
        import json

        from safetensors.numpy import save_file

        tensors = {"features": self.features, "logits": self.logits, "labels": self.labels}
        if self.heldout is not None:
            tensors["heldout"] = self.heldout.astype(np.uint8)
        metadata = {"labels": json.dumps(self.label_names)}
        if model is not None:
            metadata["model"] = model
        if self.ids is not None:
            metadata["ids"] = json.dumps(self.ids)
        save_file(tensors, str(path), metadata)


def capture(
    module: nn.Module,
    loader: Iterable[Any],
    *,
    labels: Sequence[str],
    head: Optional[str] = None,
    ids: Optional[Sequence[str]] = None,
    heldout: Optional[Iterable[Any]] = None,
    progress: bool = False,
) -> Capture:
    """Run a module once over a loader and keep what goes into its head and what comes out.

    ``labels`` are the names of the labels, in the order of the head's rows. ``heldout`` is a second loader,
    of samples that the module was not trained on: alpha is chosen on the first, and judged on both.

    A head that runs on each position of a sample, of which the module gives back one (the last token's, say), is
    taken at that position. Where it gives back all, each position is a sample with a label of its own; those with
    a label below 0 are left out.

    Where the module gives back something else than its head makes, as with two heads of which the mean is taken,
    a head that was found is refused; one that was named is taken, with a ``UserWarning``.
    """
    name = head or find_head(module, len(labels))

    def doubt(reason: str) -> None:
        if head is None:
            raise DisinheritError(f"{reason}; name the layer with `head` if it is to be dampened nevertheless")
        warnings.warn(reason, stacklevel=2)

    features: List[np.ndarray] = []
    logits: List[np.ndarray] = []
    targets: List[np.ndarray] = []
    counts: List[int] = []
    device = device_of(module)
    shown = _progress(progress)
    with torch.inference_mode(), evaluating(module), HeadSeen(module, name, doubt) as seen:
        for part in (loader, heldout):
            before = sum(map(len, targets))
            bar = shown("capturing", len(part)) if shown and hasattr(part, "__len__") else None  # type: ignore[arg-type]
            for batch in part or ():
                inputs, wanted = parted(batch)
                called(module, moved(inputs, device))
                given, made = seen.rows()
                wanted = torch.as_tensor(wanted).to(given.device)
                if wanted.numel() != len(given):
                    raise DisinheritError(f"a batch has {wanted.numel()} labels for {len(given)} samples")
                if wanted.dim() > 1:
                    known = wanted.flatten() >= 0
                    given, made, wanted = given[known], made[known], wanted.flatten()[known]
                features.append(rows_of(given))
                logits.append(rows_of(made))
                targets.append(wanted.cpu().numpy().astype(np.int64).reshape(-1))
                if bar is not None:
                    bar.update(1)
            if bar is not None:
                bar.close()
            counts.append(sum(map(len, targets)) - before)
    if not targets:
        raise DisinheritError("the loader gave no samples")
    marks = None
    if heldout is not None:
        marks = np.repeat([False, True], counts)
    return Capture(
        head=name,
        features=np.concatenate(features),
        logits=np.concatenate(logits),
        labels=np.concatenate(targets),
        label_names=[str(label) for label in labels],
        ids=None if ids is None else [str(sample) for sample in ids],
        heldout=marks,
    )


def data_of(captures: Union[Capture, Mapping[str, Capture]], name: str = "features") -> Data:
    """Captures as data: one for a model alone, or one for each model of a family, by its name.

    Those of a family are of the same samples in the same order.
    """
    if isinstance(captures, Capture):
        first, features, logits = captures, captures.features, captures.logits
        return Data.of_features(
            features,
            first.labels,
            first.label_names,
            logits=logits,
            ids=first.ids,
            heldout=first.heldout,
            name=name,
        )
    if not captures:
        raise DisinheritError("there are no captures")
    first = next(iter(captures.values()))
    for model, other in captures.items():
        if not np.array_equal(other.labels, first.labels):
            raise DisinheritError(
                f"the capture of `{model}` is of other samples, or in another order: use a loader that "
                f"does not shuffle"
            )
    return Data.of_features(
        {model: made.features for model, made in captures.items()},
        first.labels,
        first.label_names,
        logits={model: made.logits for model, made in captures.items()},
        ids=first.ids,
        heldout=first.heldout,
        name=name,
    )


@dataclass
class Forgotten:
    """What :func:`forget` did."""

    alpha: Optional[float]
    lambda_: Optional[float]
    changed: int
    warnings: List[str] = field(default_factory=list)
    verdict: Optional[Dict[str, Any]] = None


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
    loader: Optional[Any] = None,
    heldout: Optional[Any] = None,
    progress: bool = False,
    **options: Any,
) -> Forgotten:
    """Make one module, or its state dict, forget classes, in place (FIUn on itself).

    With ``layers`` (``"all"``, or patterns of parameters' names) inner parameters are dampened too: the samples
    of ``loader`` are run again, for per-sample gradients and for the choice of alpha, and the module is judged on
    them and on those of ``heldout``. Options are those of :meth:`disinherit.Registry.unlearn`.
    """
    parameters = _weights(module, captured.head)
    wanted = _listed(classes)
    for label in wanted:
        if label not in captured.label_names:
            raise DisinheritError(
                f"unknown label `{label}`; the labels are {', '.join(captured.label_names)}"
            )
    registry = Registry.memory()
    if layers is None:
        data = data_of(captured, "captured")
        registry.add("module", parameters, labels=captured.label_names, head="head", trained_on="captured")
    else:
        if not isinstance(module, nn.Module):
            raise DisinheritError("inner layers need the module itself, not its state dict")
        if loader is None:
            raise DisinheritError("inner layers need the samples again: give `loader`")
        data = samples(module, loader, labels=captured.label_names, heldout=heldout, name="captured")
        registry.add("module", module, labels=captured.label_names, head=captured.head, trained_on="captured")
        parameters = dict(module.named_parameters())
        options["layers"] = layers
    done = registry.unlearn(classes=wanted, initial="module", data=data, progress=progress, **options)
    outcome = done["models"][0]
    changed = {name: tensor["changed"] for name, tensor in outcome["tensors"].items()}
    result = Forgotten(
        alpha=outcome["alpha"],
        lambda_=outcome["lambda"],
        changed=sum(changed.values()),
        warnings=done["warnings"],
    )
    if options.get("dry_run"):
        return result
    result.verdict = registry.verify(data, progress=False)[0]
    new = state_dict(registry, "module")
    with torch.no_grad():
        for name in (name for name, count in changed.items() if count > 0):
            parameters[name].copy_(new[name])
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
