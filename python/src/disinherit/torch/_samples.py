"""Samples that stay in their loaders, and modules that the engine has run on them."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Mapping
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, Subset

from .. import Data, DisinheritError
from .._arrays import Floats
from .._data import PenultimateLayer, sample_ids
from ._fisher import add_squares, zeros
from ._heads import HeadRecorder, head_of
from ._modules import called, device_of, evaluating, moved, parted, rows_of, single
from ._penultimate import FEW, Penultimate
from ._trace import Unfit


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

    def labels(self) -> NDArray[np.int64]:
        found = [np.zeros(0, np.int64)]
        for batch in self.batches(range(len(self))):
            found.append(single(parted(batch)[1]).cpu().numpy().astype(np.int64))
        return np.concatenate(found)


class Modules:
    """Runs modules for the engine, on samples of loaders (:class:`disinherit.DeepNetworks`)."""

    def __init__(
        self,
        modules: Union[nn.Module, Mapping[str, nn.Module]],
        parts: Sequence[_Samples],
        ids: Sequence[str],
        chunk: int,
        layer: Optional[str] = None,
    ) -> None:
        self.modules = modules
        self.layer = layer
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
    def _with(self, model: str, weights: Mapping[str, Floats]) -> Iterator[nn.Module]:
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
        self, model: str, head: str, weights: Mapping[str, Floats], ids: Sequence[str]
    ) -> Iterator[Tuple[Floats, Floats]]:
        with self._with(model, weights) as module:
            device = device_of(module)
            with HeadRecorder(module, head) as seen:
                for inputs, _ in self._batches(ids):
                    with torch.inference_mode():
                        called(module, moved(inputs, device))
                    given, made = seen.rows()
                    yield rows_of(given), rows_of(made)

    def penultimate(
        self, model: str, head: str, weights: Mapping[str, Floats], ids: Sequence[str]
    ) -> Iterator[Union[str, PenultimateLayer, Tuple[Floats, Floats]]]:
        with self._with(model, weights) as module:
            device = device_of(module)
            with HeadRecorder(module, head) as seen:
                try:
                    inputs, count = next(iter(self._batches(ids[:FEW])))
                    cut = Penultimate(seen, moved(inputs, device), count, self.layer)
                    yield cut.description
                    for inputs, count in self._batches(ids):
                        yield cut.read(moved(inputs, device), count)
                except Unfit as reason:
                    yield str(reason)

    def inner_squares(
        self,
        model: str,
        head: str,
        weights: Mapping[str, Floats],
        ids: Sequence[str],
        residuals: Floats,
        wanted: Sequence[str],
    ) -> Iterator[Union[int, Tuple[str, NDArray[np.float64]]]]:
        """Samples done; at last each tensor's sums of squared gradients."""
        with self._with(model, weights) as module:
            device, dtype = device_of(module), head_of(module, head).weight.dtype
            sums = zeros(module, wanted)
            done = 0
            with HeadRecorder(module, head) as seen:

                def loss(output: Optional[torch.Tensor], residual: torch.Tensor) -> torch.Tensor:
                    return (seen.logits(output) * residual).sum()

                for inputs, count in self._batches(ids):
                    own = residuals[done : done + count]
                    done += count
                    # Near 1 on the way back, and squared in full size: sure predictions do not underflow.
                    size = float(np.abs(own).max(initial=0.0))
                    if size > 0.0:
                        scaled = torch.from_numpy(own / np.float32(size)).to(device, dtype)
                        add_squares(sums, module, loss, moved(inputs, device), scaled, self.chunk, size * size)
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
    heldout_ids: Optional[Sequence[str]] = None,
    name: str = "samples",
    chunk: int = 32,
    layer: Optional[str] = None,
) -> Data:
    """Samples that stay in their loaders, run by modules of yours whenever the engine needs it.

    With such data, inner layers can be dampened too, in every model of a registry (``layers="all"``), and models
    whose inner layers have changed are judged by what they are now. ``modules`` is one module that the weights
    of all models fit, or a module for each model, by its name; a module's weights are exchanged for a while
    and put back. ``labels`` are the label names in the order of the head's rows, ``heldout`` a second loader, of
    samples that no model was trained on. ``ids`` name the samples of ``loader``, ``heldout_ids`` those of ``heldout``. Samples are taken from the
    loaders' data sets in order, so loaders may shuffle; ``chunk`` samples have their gradients at a time.

    ``layer`` names the layer below the head that ``depth="features"`` edits, as in ``named_modules()``; without it the
    last linear layer or convolution that leads to the features is found.
    """
    parts = [_Samples(part) for part in (loader, heldout) if part is not None]
    found = [part.labels() for part in parts]
    train, held = len(parts[0]), sum(map(len, parts[1:]))
    default = [f"{name}/{row:06}" for row in range(train)] if ids is None else ids
    known = sample_ids(name, (train, held), default, heldout_ids) or []
    return Data.external(
        Modules(modules, parts, known, chunk, layer),
        np.concatenate(found),
        labels,
        ids=known[:train],
        heldout_ids=known[train:],
        heldout=np.repeat(np.arange(len(parts)) > 0, [len(part) for part in parts]),
        name=name,
    )
