"""Modules that the engine has run: Fisher information of inner layers, and samples that stay in loaders."""

from __future__ import annotations

import contextlib
import itertools
import threading
import warnings
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from . import Data, DisinheritError

#: The loss of one sample: from the module's output and what belongs to the sample.
_Loss = Callable[[Optional[torch.Tensor], torch.Tensor], torch.Tensor]


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


def head_of(module: nn.Module, name: str) -> nn.Linear:
    """The head of this name, where it is one that can be dampened."""
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        raise DisinheritError(f"the module has no layer `{name}`") from None
    if not isinstance(layer, nn.Linear):
        raise DisinheritError(f"`{name}` is {type(layer).__name__}, not a linear layer")
    for other, parameter in module.named_parameters(remove_duplicate=False):
        if parameter is layer.weight and other != (f"{name}.weight" if name else "weight"):
            raise DisinheritError(
                f"the head `{name}` is tied to `{other}`: what is dampened in one would be missing in the "
                f"other; give it weights of its own: layer.weight = "
                f"torch.nn.Parameter(layer.weight.detach().clone())"
            )
    return layer


def output_of(made: Any) -> Optional[torch.Tensor]:
    """The logits among what a module gave back, where it is plain which they are."""
    if isinstance(made, Mapping):
        made = made.get("logits")
    elif isinstance(made, (list, tuple)):
        made = made[0] if made else None
    made = getattr(made, "logits", made)
    return made if isinstance(made, torch.Tensor) else None


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    size = right.abs().max().clamp(min=1e-6) if right.numel() else torch.ones(())
    return bool((left - right).abs().le(1e-2 * size).all())


def _from(logits: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether an output is these logits, a multiple of them, or what they are usually made into."""
    logits, output = logits.float(), output.float()
    scale = (logits * output).sum() / logits.square().sum().clamp(min=1e-12)
    made = (logits * scale.clamp(min=0), logits.softmax(-1), logits.log_softmax(-1), logits.sigmoid())
    return any(_close(one, output) for one in made)


def _rows(
    name: str, given: torch.Tensor, made: torch.Tensor, output: Optional[torch.Tensor]
) -> Tuple[torch.Tensor, torch.Tensor]:
    """A row for each sample, of a head that ran on each position: those that the output was taken from."""
    shape = list(given.shape)
    given, made = given.flatten(1, -2), made.flatten(1, -2)
    if output is not None and output.dim() > 2 and output.numel() == made.numel():
        return given.flatten(0, 1), made.flatten(0, 1)
    if output is not None and output.shape == (made.shape[0], made.shape[2]):
        # Logits and their logarithmic softmax are told apart by nothing that matters here.
        told, own = (value.float().log_softmax(-1) for value in (output, made))
        at = (own - told.unsqueeze(1)).abs().amax(-1).argmin(1)
        sample = torch.arange(len(at), device=at.device)
        if _close(own[sample, at], told):
            return given[sample, at], made[sample, at]
    raise DisinheritError(
        f"the head `{name}` ran on {shape}, and the module's output is that of no single position: it must "
        f"run on [samples, features], or the output be its own"
    )


class HeadSeen:
    """What goes into a module's head and what comes out, in the module's last pass, as long as this is entered.

    Where the module does not give back what its head makes, it would not do what is made of its head: ``doubt``
    is told so, once.
    """

    def __init__(self, module: nn.Module, name: str, doubt: Callable[[str], None] = warnings.warn) -> None:
        self.name = name
        self.module = module
        self.layer = head_of(module, name)
        self.doubt: Optional[Callable[[str], None]] = doubt
        self.seen: List[Tuple[torch.Tensor, torch.Tensor]] = []
        self.output: Optional[torch.Tensor] = None
        self.hooks: List[Any] = []

    def __enter__(self) -> HeadSeen:
        self.hooks = [
            self.layer.register_forward_hook(lambda _, given, made: self.seen.append((given[0], made))),
            self.module.register_forward_hook(self._end),
        ]
        if self.layer is not self.module:
            self.hooks.append(self.module.register_forward_pre_hook(lambda *_: self.seen.clear()))
        return self

    def __exit__(self, *_: Any) -> None:
        for hook in self.hooks:
            hook.remove()

    def _end(self, _: nn.Module, __: Any, made: Any) -> None:
        self.output = output_of(made)

    def _pop(self) -> Tuple[torch.Tensor, torch.Tensor]:
        seen, self.seen = self.seen, []
        if len(seen) != 1 or seen[0][0].dim() < 2:
            raise DisinheritError(
                f"the head `{self.name}` ran {len(seen)} times in one pass"
                + (f" on {list(seen[0][0].shape)}" if seen else "")
                + "; it must run once, on [samples, features]"
            )
        return seen[0]

    def rows(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Features and logits, a row for each sample."""
        given, made = self._pop()
        output, self.output = self.output, None
        if given.dim() > 2:
            given, made = _rows(self.name, given, made, output)
            # Of one position it is known by now.
            output = output.flatten(0, -2) if output is not None and output.dim() > 2 else None
        if self.doubt is not None and output is not None:
            if output.shape == made.shape and output.isfinite().all() and not _from(made, output):
                self.doubt(
                    f"the module's output is not what its head `{self.name}` makes: what is done to this "
                    f"layer, and the verdict on it, may not hold for the module"
                )
            self.doubt = None
        return given, made

    def logits(self, output: Optional[torch.Tensor]) -> torch.Tensor:
        """The head's logits: those that the module gave back where the head runs on each position."""
        made = self._pop()[1]
        self.output = None
        return made if made.dim() == 2 or output is None else output


def rows_of(values: torch.Tensor) -> np.ndarray:
    """A matrix as the engine reads it."""
    return np.ascontiguousarray(values.detach().float().cpu().numpy())


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


def _add_squares(
    sums: Dict[str, torch.Tensor],
    module: nn.Module,
    loss: _Loss,
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


def _zeros(module: nn.Module, names: Iterable[str]) -> Dict[str, torch.Tensor]:
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
) -> Dict[str, np.ndarray]:
    """The diagonal empirical FIM of parameters: the mean over samples of the squared gradient of the loss.

    The loss is the cross-entropy of the module's output. Per-sample gradients by ``torch.func``, ``chunk``
    samples at a time. ``keep`` picks samples by their labels (a mask).
    """
    names = [name for name, _ in module.named_parameters()] if parameters is None else list(parameters)
    sums = _zeros(module, names)
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
                _add_squares(sums, module, _cross_entropy, inputs, labels, chunk)
                count += len(labels)
    if count == 0:
        raise DisinheritError("no sample was left to compute Fisher information from")
    return {name: (total / count).float().cpu().numpy() for name, total in sums.items()}


class _Samples:
    """The samples of a loader, one by one in the order of its data set, whatever the loader's own order."""

    def __init__(self, loader: Any) -> None:
        dataset = getattr(loader, "dataset", None)
        if dataset is None or isinstance(dataset, IterableDataset):
            raise DisinheritError(
                "samples are run again and again here: give a torch.utils.data.DataLoader over a data set "
                "with a length, whose samples can be picked"
            )
        self.dataset = dataset
        self.size = loader.batch_size or 64
        self.options = {"collate_fn": loader.collate_fn, "num_workers": loader.num_workers}

    def __len__(self) -> int:
        return len(self.dataset)

    def batches(self, picked: Sequence[int]) -> Iterable[Any]:
        return DataLoader(Subset(self.dataset, picked), batch_size=self.size, **self.options)

    def labels(self) -> np.ndarray:
        found = [np.zeros(0, np.int64)]
        for batch in self.batches(range(len(self))):
            found.append(single(parted(batch)[1]).cpu().numpy().astype(np.int64))
        return np.concatenate(found)


class Modules:
    """Runs modules for the engine, on samples of loaders (:class:`disinherit.Networks`)."""

    def __init__(
        self,
        modules: Union[nn.Module, Mapping[str, nn.Module]],
        parts: Sequence[_Samples],
        ids: Sequence[str],
        chunk: int,
    ) -> None:
        self.modules = modules
        self.parts = parts
        places = ((number, place) for number, part in enumerate(parts) for place in range(len(part)))
        self.places = dict(zip(ids, places))
        self.chunk = chunk
        self.busy = threading.RLock()

    def module(self, model: str) -> nn.Module:
        if isinstance(self.modules, nn.Module):
            return self.modules
        try:
            return self.modules[model]
        except KeyError:
            known = ", ".join(self.modules) or "none"
            raise DisinheritError(f"there is no module for `{model}`, only for {known}") from None

    def inner_tensors(self, model: str, head: str) -> List[str]:
        module = self.module(model)
        head_of(module, head)
        names: Dict[int, List[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            names.setdefault(id(parameter), []).append(name)
        # Parameters under two names are left alone: a model's file has both, and they must stay equal.
        alone = [known[0] for known in names.values() if len(known) == 1]
        floating = {name for name, p in module.named_parameters() if p.is_floating_point()}
        return [n for n in alone if n in floating and n not in (f"{head}.weight", f"{head}.bias")]

    @contextlib.contextmanager
    def _with(self, model: str, weights: Mapping[str, np.ndarray]) -> Iterator[nn.Module]:
        """The module with these weights, in evaluation mode; afterwards it is as it was."""
        module = self.module(model)
        places = {**dict(module.named_parameters(remove_duplicate=False)), **dict(module.named_buffers())}
        floating = {name: place for name, place in places.items() if place.is_floating_point()}
        saved = module.state_dict()
        for name in saved:
            if name in floating and name not in weights:
                raise DisinheritError(f"the module has a tensor `{name}`, `{model}` has none")
        for name, array in weights.items():
            if name not in floating:
                raise DisinheritError(f"`{model}` has a tensor `{name}`, the module has none")
            if tuple(floating[name].shape) != array.shape:
                raise DisinheritError(
                    f"the module's `{name}` is {list(floating[name].shape)}, that of `{model}` {list(array.shape)}"
                )
        with self.busy:
            before = {name: floating[name].detach().clone() for name in weights}
            try:
                with torch.no_grad():
                    for name, array in weights.items():
                        floating[name].copy_(torch.from_numpy(array))
                with evaluating(module):
                    yield module
            finally:
                with torch.no_grad():
                    for name, value in before.items():
                        floating[name].copy_(value)

    def _batches(self, ids: Sequence[str]) -> Iterator[Tuple[Any, int]]:
        """Inputs of these samples in their order, and of how many."""
        for number, run in itertools.groupby((self.places[name] for name in ids), lambda place: place[0]):
            for batch in self.parts[number].batches([place for _, place in run]):
                inputs, labels = parted(batch)
                yield inputs, torch.as_tensor(labels).numel()

    def capture(
        self, model: str, head: str, weights: Mapping[str, np.ndarray], ids: Sequence[str]
    ) -> Iterator[Tuple[np.ndarray, np.ndarray]]:
        with self._with(model, weights) as module:
            device = device_of(module)
            with HeadSeen(module, head) as seen:
                for inputs, _ in self._batches(ids):
                    with torch.inference_mode():
                        called(module, moved(inputs, device))
                    given, made = seen.rows()
                    yield rows_of(given), rows_of(made)

    def inner_squares(
        self,
        model: str,
        head: str,
        weights: Mapping[str, np.ndarray],
        ids: Sequence[str],
        residuals: np.ndarray,
        wanted: Sequence[str],
    ) -> Iterator[Union[int, Tuple[str, np.ndarray]]]:
        """Samples done; at last each tensor's sums of squared gradients."""
        with self._with(model, weights) as module:
            device, dtype = device_of(module), head_of(module, head).weight.dtype
            sums = _zeros(module, wanted)
            done = 0
            with HeadSeen(module, head) as seen:

                def loss(output: Optional[torch.Tensor], residual: torch.Tensor) -> torch.Tensor:
                    return (seen.logits(output) * residual).sum()

                for inputs, count in self._batches(ids):
                    own = residuals[done : done + count]
                    done += count
                    # Near 1 on the way back, and squared in full size: sure predictions do not underflow.
                    size = float(np.abs(own).max(initial=0.0))
                    if size > 0.0:
                        scaled = torch.from_numpy(own / np.float32(size)).to(device, dtype)
                        _add_squares(sums, module, loss, moved(inputs, device), scaled, self.chunk, size * size)
                    yield count
        for name, total in sums.items():
            yield name, np.ascontiguousarray(total.double().cpu().numpy())


def samples(
    modules: Union[nn.Module, Mapping[str, nn.Module]],
    loader: Any,
    *,
    labels: Sequence[str],
    heldout: Optional[Any] = None,
    ids: Optional[Sequence[str]] = None,
    name: str = "samples",
    chunk: int = 32,
) -> Data:
    """Samples that stay in their loaders, run by modules of yours whenever the engine needs it.

    With such data, inner layers can be dampened too, in every model of a registry (``layers="all"``), and models
    whose inner layers have changed are judged by what they are now. ``modules`` is one module that the weights
    of all models fit, or a module for each model, by its name; a module's weights are exchanged for a while
    and put back. ``labels`` are the label names in the order of the head's rows, ``heldout`` a second loader, of
    samples that no model was trained on, ``ids`` those of the training samples. Samples are taken from the
    loaders' data sets in order, so loaders may shuffle; ``chunk`` samples have their gradients at a time.
    """
    parts = [_Samples(part) for part in (loader, heldout) if part is not None]
    found = [part.labels() for part in parts]
    if ids is not None and len(ids) != len(parts[0]):
        raise DisinheritError(f"{len(ids)} ids for {len(parts[0])} training samples")
    known = [f"{name}/{row:06}" for row in range(len(parts[0]))] if ids is None else [str(one) for one in ids]
    for part in parts[1:]:
        known += [f"{name}/heldout/{row:06}" for row in range(len(part))]
    return Data.elsewhere(
        Modules(modules, parts, known, chunk),
        np.concatenate(found),
        labels,
        ids=known,
        heldout=np.repeat(np.arange(len(parts)) > 0, [len(part) for part in parts]),
        name=name,
    )
