"""Modules of your own: capture what goes into their heads, and make them forget, in place.

>>> from disinherit.torch import capture, forget
>>> forget(model, capture(model, loader, labels=names), classes=["cat"])
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn

from . import Data, DisinheritError, Labels, Registry, _listed, _progress, dampen

__all__ = [
    "Capture",
    "Forgotten",
    "capture",
    "data_of",
    "find_head",
    "forget",
    "inner_fisher",
    "load",
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


def _head(module: nn.Module, name: str) -> nn.Linear:
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        raise DisinheritError(f"the module has no layer `{name}`") from None
    if not isinstance(layer, nn.Linear):
        raise DisinheritError(f"`{name}` is {type(layer).__name__}, not a linear layer")
    if layer.bias is None:
        raise DisinheritError(
            f"the head `{name}` has no bias; give it one of zeros: "
            f"layer.bias = torch.nn.Parameter(torch.zeros(layer.out_features))"
        )
    for other, parameter in module.named_parameters(remove_duplicate=False):
        if parameter is layer.weight and other != f"{name}.weight":
            raise DisinheritError(
                f"the head `{name}` is tied to `{other}`: what is dampened in one would be missing in the "
                f"other; give it weights of its own: layer.weight = "
                f"torch.nn.Parameter(layer.weight.detach().clone())"
            )
    return layer


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


@contextlib.contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    training = {child: child.training for child in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for child, state in training.items():
            child.training = state


def _device(module: nn.Module) -> torch.device:
    parameter = next(module.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {key: _to(item, device) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_to(item, device) for item in value)
    return value


def _split(batch: Any) -> Tuple[Any, Any]:
    """Inputs and labels of a batch: a pair, or a mapping with ``labels`` or ``label``."""
    if isinstance(batch, Mapping):
        for key in ("labels", "label"):
            if key in batch:
                return {name: item for name, item in batch.items() if name != key}, batch[key]
        raise DisinheritError("a batch that is a mapping needs `labels`")
    if isinstance(batch, (list, tuple)) and len(batch) >= 2:
        return batch[0], batch[1]
    raise DisinheritError("a batch is a pair of inputs and labels, or a mapping with `labels`")


def _call(module: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return module(**inputs)
    if isinstance(inputs, (list, tuple)):
        return module(*inputs)
    return module(inputs)


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
    """
    name = head or find_head(module, len(labels))
    layer = _head(module, name)
    seen: List[Tuple[torch.Tensor, torch.Tensor]] = []

    def keep(_: nn.Module, given: Tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
        seen.append((given[0].detach(), made.detach()))

    features: List[np.ndarray] = []
    logits: List[np.ndarray] = []
    targets: List[np.ndarray] = []
    counts: List[int] = []
    device = _device(module)
    shown = _progress(progress)
    hook = layer.register_forward_hook(keep)
    try:
        with torch.inference_mode(), _evaluating(module):
            for part in (loader, heldout):
                before = sum(map(len, targets))
                bar = shown("capturing", len(part)) if shown and hasattr(part, "__len__") else None  # type: ignore[arg-type]
                for batch in part or ():
                    inputs, wanted = _split(batch)
                    seen.clear()
                    _call(module, _to(inputs, device))
                    if len(seen) != 1 or seen[0][0].dim() != 2:
                        raise DisinheritError(
                            f"the head `{name}` ran {len(seen)} times in one pass"
                            + (f" on {list(seen[0][0].shape)}" if seen else "")
                            + "; it must run once, on [samples, features]"
                        )
                    features.append(seen[0][0].float().cpu().numpy())
                    logits.append(seen[0][1].float().cpu().numpy())
                    targets.append(torch.as_tensor(wanted).cpu().numpy().astype(np.int64).reshape(-1))
                    if len(targets[-1]) != len(features[-1]):
                        raise DisinheritError(
                            f"a batch has {len(targets[-1])} labels for {len(features[-1])} samples"
                        )
                    if bar is not None:
                        bar.update(1)
                if bar is not None:
                    bar.close()
                counts.append(sum(map(len, targets)) - before)
    finally:
        hook.remove()
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
) -> Tuple[torch.Tensor, torch.Tensor]:
    """The weight and the bias of the head of a module or of its state dict."""
    if isinstance(module, nn.Module):
        layer = _head(module, name)
        return layer.weight, layer.bias
    try:
        return module[f"{name}.weight"], module[f"{name}.bias"]
    except KeyError as missing:
        raise DisinheritError(f"the state dict has no {missing}") from None


def forget(
    module: Union[nn.Module, Mapping[str, torch.Tensor]],
    captured: Capture,
    *,
    classes: Labels,
    layers: Optional[Sequence[str]] = None,
    loader: Optional[Iterable[Any]] = None,
    progress: bool = False,
    **options: Any,
) -> Forgotten:
    """Make one module, or its state dict, forget classes, in place (FIUn on itself).

    With ``layers`` (names of parameters, or ``"all"``) inner parameters are dampened too, with the same alpha,
    from per-sample gradients over ``loader``. Options are those of :meth:`disinherit.Registry.unlearn`.
    """
    old = _weights(module, captured.head)
    wanted = _listed(classes)
    for label in wanted:
        if label not in captured.label_names:
            raise DisinheritError(
                f"unknown label `{label}`; the labels are {', '.join(captured.label_names)}"
            )
    registry = Registry.memory()
    data = data_of(captured, "captured")
    state = {"head.weight": old[0], "head.bias": old[1]}
    registry.add(
        "module",
        state,
        labels=captured.label_names,
        head="head",
        trained_on="captured",
    )
    done = registry.unlearn(classes=wanted, initial="module", data=data, progress=progress, **options)
    outcome = done["models"][0]
    result = Forgotten(
        alpha=outcome["alpha"],
        lambda_=outcome["lambda"],
        changed=sum(tensor["changed"] for tensor in outcome["tensors"].values()),
        warnings=done["warnings"],
    )
    if options.get("dry_run"):
        return result
    if layers is not None:
        if not isinstance(module, nn.Module):
            raise DisinheritError("inner layers need the module itself, not its state dict")
        if loader is None:
            raise DisinheritError("inner layers need the samples again: give `loader`")
        result.changed += _forget_inner(module, captured, wanted, layers, loader, result)
    with torch.no_grad():
        for place, new in zip(old, registry.head("module")):
            place.copy_(torch.from_numpy(new))
    result.verdict = registry.verify(data, progress=False)[0]
    return result


def inner_fisher(
    module: nn.Module,
    loader: Iterable[Any],
    *,
    parameters: Optional[Sequence[str]] = None,
    keep: Optional[Callable[[torch.Tensor], torch.Tensor]] = None,
    chunk: int = 32,
) -> Dict[str, np.ndarray]:
    """The diagonal empirical FIM of parameters: the mean over samples of the squared gradient of the loss.

    Per-sample gradients by ``torch.func``. ``keep`` picks samples by their labels (a mask).
    """
    from torch.func import functional_call, grad, vmap

    named = dict(module.named_parameters())
    names = list(named) if parameters is None else list(parameters)
    unknown = [name for name in names if name not in named]
    if unknown:
        raise DisinheritError(f"the module has no parameter `{unknown[0]}`")
    chosen = {name: named[name].detach() for name in names}
    others = {name: value.detach() for name, value in named.items() if name not in chosen}
    buffers = {name: value.detach() for name, value in module.named_buffers()}

    def loss(values: Dict[str, torch.Tensor], inputs: Any, label: torch.Tensor) -> torch.Tensor:
        def one(item: torch.Tensor) -> torch.Tensor:
            return item.unsqueeze(0)

        state = {**others, **buffers, **values}
        if isinstance(inputs, Mapping):
            made = functional_call(module, state, (), {key: one(item) for key, item in inputs.items()})
        elif isinstance(inputs, (list, tuple)):
            made = functional_call(module, state, tuple(one(item) for item in inputs))
        else:
            made = functional_call(module, state, (one(inputs),))
        made = getattr(made, "logits", made)
        return nn.functional.cross_entropy(made, one(label))

    device = _device(module)
    sums = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in chosen.items()}
    count = 0
    with _evaluating(module):
        for batch in loader:
            inputs, labels = _split(batch)
            labels = torch.as_tensor(labels).reshape(-1)
            inputs, labels = _to(inputs, device), labels.to(device)
            if keep is not None:
                mask = keep(labels)
                labels = labels[mask]
                inputs = _pick(inputs, mask)
            if len(labels) == 0:
                continue
            squares = vmap(grad(loss), in_dims=(None, 0, 0), chunk_size=chunk)(chosen, inputs, labels)
            for name, gradient in squares.items():
                sums[name] += gradient.double().square().sum(0)
            count += len(labels)
    if count == 0:
        raise DisinheritError("no sample was left to compute Fisher information from")
    return {name: (total / count).float().cpu().numpy() for name, total in sums.items()}


def _pick(inputs: Any, mask: torch.Tensor) -> Any:
    if isinstance(inputs, torch.Tensor):
        return inputs[mask]
    if isinstance(inputs, Mapping):
        return {key: _pick(item, mask) for key, item in inputs.items()}
    return type(inputs)(_pick(item, mask) for item in inputs)


def _forget_inner(
    module: nn.Module,
    captured: Capture,
    classes: List[str],
    layers: Union[str, Sequence[str]],
    loader: Iterable[Any],
    result: Forgotten,
) -> int:
    head = {f"{captured.head}.weight", f"{captured.head}.bias"}
    names = [name for name, _ in module.named_parameters() if name not in head]
    if layers != "all":
        names = [name for name in _listed(layers) if name not in head]
    wanted = torch.tensor([captured.label_names.index(label) for label in classes])
    own = inner_fisher(module, loader, parameters=names)
    gone = inner_fisher(
        module, loader, parameters=names, keep=lambda labels: torch.isin(labels, wanted.to(labels.device))
    )
    # Each relative to the mean of the module's own, as the engine compares them.
    mean = sum(float(values.sum(dtype=np.float64)) for values in own.values())
    mean /= max(sum(values.size for values in own.values()), 1)
    alpha = result.alpha if result.alpha is not None else 10.0
    changed = 0
    parameters = dict(module.named_parameters())
    for name in names:
        values = np.ascontiguousarray(parameters[name].detach().float().cpu().numpy()).copy()
        scaled = [(part[name] / np.float64(mean)).astype(np.float32) for part in (own, gone)]
        changed += dampen(values, scaled[0], scaled[1], alpha, result.lambda_ or 1.0)
        with torch.no_grad():
            parameters[name].copy_(torch.from_numpy(values))
    return changed


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
