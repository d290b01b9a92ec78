"""Adapters of PEFT forget below their heads too: what is edited there is folded into the adapter.

>>> from disinherit.peft import forget
>>> done = forget(adapted, loader, labels=names, classes="cat", heldout=test_loader)
>>> done.kind, done.layers
>>> done.model.save_pretrained("clinic-forgot")

``kind`` is ``adapter`` where the edit fits into low-rank updates, and ``merged`` where it does not: then ``model`` is the whole
network. In a registry an adapter is a model with :func:`merged` weights, and :func:`fold` makes an adapter of it again.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple, Union

import peft
import torch
from torch import nn

from . import DisinheritError, Registry
from ._arguments import Labels
from ._forgotten import Forgotten
from ._record import Record
from .torch import capture, state_dict
from .torch import forget as forget_whole
from .torch._modules import called, device_of, evaluating, moved, output_of, parted

__all__ = ["Folded", "FoldedLayer", "fold", "forget", "merged"]

#: How much of a change may be left out, relative to its size, when a rank is chosen; tried in this order.
_LEFT_OUT = (0.1, 0.03, 0.01, 3e-3, 1e-3, 1e-4)


@dataclass(frozen=True)
class FoldedLayer(Record):
    """A layer below the head whose change became a low-rank update."""

    name: str
    #: 0 where the adapter had no update of it.
    rank_before: int
    rank_after: int


@dataclass
class Folded:
    """An adapter that holds an edit, or the whole network where it cannot."""

    #: ``adapter`` or ``merged``.
    kind: str
    #: With ``save_pretrained``: a ``PeftModel``, or the network with all of its weights.
    model: Any
    layers: List[FoldedLayer] = field(default_factory=list)
    #: The largest difference of a logit from those of the edit as it was computed, relative to the largest logit.
    difference: float = 0.0
    #: Why it is no adapter.
    reason: Optional[str] = None
    #: What the edit did; ``None`` from :func:`fold`.
    forgotten: Optional[Forgotten] = None


def merged(model: peft.PeftModel) -> Dict[str, torch.Tensor]:
    """The weights of an adapted network, with the names that its base model has, for :meth:`disinherit.Registry.add`.

    ``model`` stays as it is. What is equal in base and adapted network is kept once in a registry.
    """
    return dict(_whole(model).state_dict())


def forget(
    model: peft.PeftModel,
    loader: Any,
    *,
    labels: Sequence[str],
    classes: Labels,
    heldout: Optional[Any] = None,
    tolerance: float = 1e-3,
    **options: Any,
) -> Folded:
    """Make an adapted network forget classes, below its head too, and fold that into an adapter.

    The edit is that of :func:`disinherit.torch.forget` on the merged network, with its ``options``. ``model`` stays as it is.
    """
    whole = _whole(model)
    seen = capture(whole, loader, labels=labels, heldout=heldout)
    done = forget_whole(whole, seen, classes=classes, loader=loader, heldout=heldout, **options)
    folded = _folded(model, whole, loader, tolerance)
    folded.forgotten = done
    return folded


def fold(
    weights: Union[Registry, Mapping[str, torch.Tensor]],
    name: str,
    model: peft.PeftModel,
    loader: Any,
    *,
    tolerance: float = 1e-3,
) -> Folded:
    """The current version of a registry's model, which was added with :func:`merged` weights, as an adapter again.

    ``model`` is the adapter on its base model. Where the base model forgot too, that is the adapter on the edited base
    model: what is folded is the difference. On the samples of ``loader`` logits are compared with those of the merged
    network; where they differ by more than ``tolerance`` times the largest logit at every rank that is worth it, or
    something was changed that no adapter holds, the result is the merged network.
    """
    whole = _whole(model)
    whole.load_state_dict(state_dict(weights, name) if isinstance(weights, Registry) else dict(weights))
    return _folded(model, whole, loader, tolerance)


def _whole(model: peft.PeftModel) -> Any:
    """The network with the adapter's updates in its weights."""
    if not isinstance(model, peft.PeftModel):
        raise DisinheritError(f"an adapted network is wanted (`peft.PeftModel`), not a `{type(model).__name__}`")
    inner: Any = copy.deepcopy(model)
    return inner.merge_and_unload().eval()


class _Unfoldable(Exception):
    """Why a change fits into no adapter."""


@dataclass
class _Update:
    """The update that a layer needs, ``[outputs, inputs]``, and what the adapter had."""

    name: str
    wanted: torch.Tensor
    rank_before: int
    #: The size of what is new in it.
    change: float
    parts: Tuple[torch.Tensor, torch.Tensor, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = torch.linalg.svd(self.wanted.double(), full_matrices=False)

    def rank(self, left_out: Optional[float]) -> int:
        """The smallest rank that leaves out no more than a share of the change; without one that of before."""
        if left_out is None:
            return self.rank_before
        tails = self.parts[1].square().flip(0).cumsum(0).flip(0).sqrt()
        needed = int((tails > left_out * self.change).sum())
        return max(needed, self.rank_before, 1)

    @property
    def most(self) -> int:
        """From this rank on the update takes more room than the weight."""
        outputs, inputs = self.wanted.shape
        return (outputs * inputs - 1) // (outputs + inputs)

    def factors(self, rank: int, scale: float) -> Tuple[torch.Tensor, torch.Tensor]:
        """``A`` and ``B`` with ``scale * B @ A`` the update of this rank."""
        left, sizes, right = self.parts
        root = (sizes[:rank] / scale).sqrt()
        return root[:, None] * right[:rank], left[:, :rank] * root


def _folded(model: Any, whole: Any, loader: Any, tolerance: float) -> Folded:
    wanted = _logits(whole, loader)
    size = float(wanted.abs().max().clamp(min=1e-12))
    try:
        config = _config(model)
        adapters = _Adapters(model, config, whole)
        difference = math.inf
        for left_out in (None, *_LEFT_OUT):
            ranks = {update.name: update.rank(left_out) for update in adapters.updates}
            if any(rank == 0 for rank in ranks.values()):
                continue
            if any(ranks[update.name] > max(update.most, update.rank_before) for update in adapters.updates):
                break
            made = adapters.made(ranks)
            difference = float((_logits(made, loader) - wanted).abs().max()) / size
            if difference <= tolerance:
                layers = [FoldedLayer(each.name, each.rank_before, ranks[each.name]) for each in adapters.updates]
                return Folded("adapter", made, layers, difference)
        raise _Unfoldable(
            f"at every rank that takes less room than the weights logits differ by more than {tolerance:g} of the largest"
            + (f" ({difference:.2g} at best)" if math.isfinite(difference) else "")
        )
    except _Unfoldable as reason:
        return Folded("merged", whole, reason=str(reason))


def _config(model: Any) -> Any:
    config = model.active_peft_config
    if not isinstance(config, peft.LoraConfig):
        raise _Unfoldable(f"adapters of the kind {config.peft_type} hold no change of a weight of another kind")
    if config.use_dora:
        raise _Unfoldable("updates that are scaled by the norm of the weight (DoRA) hold no other change")
    return config


class _Adapters:
    """Adapters that make one network of a base model, at different ranks."""

    def __init__(self, model: Any, config: Any, whole: Any) -> None:
        self.model, self.config, self.whole = model, config, whole
        self.name: str = model.active_adapter
        inner = model.get_base_model()
        self.layers: Dict[str, Any] = {
            name: layer for name, layer in inner.named_modules() if self.name in getattr(layer, "lora_A", {})
        }
        embeddings = {
            name for name, layer in inner.named_modules() if self.name in getattr(layer, "lora_embedding_A", {})
        }
        self.targets = sorted({*self.layers, *embeddings})
        saved = [name for name, layer in inner.named_modules() if hasattr(layer, "modules_to_save")]
        self.base = copy.deepcopy(model).unload()
        before, self.after = dict(self.base.named_parameters()), dict(whole.named_parameters())
        self.updates: List[_Update] = []
        self.biases = False
        for name, value in self.after.items():
            layer = name.rpartition(".")[0]
            if any(layer == each or layer.startswith(f"{each}.") for each in saved):
                continue
            change = value.detach().float() - before[name].detach().float()
            if layer in self.layers and name.endswith(".weight"):
                self._update(layer, change)
            elif not bool(change.any()):
                continue
            elif name.endswith("bias"):
                self.biases = True
            elif name.endswith(".weight") and value.dim() == 2 and layer not in embeddings:
                self._update(layer, change)
            else:
                raise _Unfoldable(f"`{name}` was changed, which is no weight of a linear layer and no bias")
        for name, buffer in whole.named_buffers():
            if not torch.equal(buffer, dict(self.base.named_buffers())[name]):
                raise _Unfoldable(f"`{name}` was changed, which no adapter holds")

    def _update(self, layer: str, change: torch.Tensor) -> None:
        """Note that a layer needs another update than it has."""
        module = self.base.get_submodule(layer)
        if not isinstance(module, nn.Linear) and type(module).__name__ != "Conv1D":
            if layer in self.layers and bool((change - self.layers[layer].get_delta_weight(self.name)).abs().max() > 1e-6):
                raise _Unfoldable(f"`{layer}` was changed, which is no linear layer")
            return
        rank, own = 0, torch.zeros_like(change)
        if layer in self.layers:
            rank, own = self.layers[layer].r[self.name], self.layers[layer].get_delta_weight(self.name).detach().float()
        new = float((change - own).norm())
        # Merging rounds.
        if new > 1e-5 * float(self.after[f"{layer}.weight"].detach().float().norm()):
            transposed = type(module).__name__ == "Conv1D"
            self.updates.append(_Update(layer, change.T if transposed else change, rank, new))

    def made(self, ranks: Mapping[str, int]) -> Any:
        """The adapter with updates of these ranks, on the base model."""
        config = copy.deepcopy(self.config)
        config.target_modules = {*self.targets, *ranks}
        config.exclude_modules = config.layers_to_transform = config.layers_pattern = None
        config.bias, config.lora_bias = ("all", False) if self.biases else (config.bias, config.lora_bias)
        config.init_lora_weights = True
        config.rank_pattern, config.alpha_pattern = dict(config.rank_pattern or {}), dict(config.alpha_pattern or {})
        for name in self.targets:
            config.rank_pattern[name], config.alpha_pattern[name] = self._size(name, ranks.get(name))
        for name in ranks:
            config.rank_pattern[name], config.alpha_pattern[name] = self._size(name, ranks[name])
        made = peft.get_peft_model(copy.deepcopy(self.base), config, adapter_name=self.name)
        with torch.no_grad():
            self._fill(made, ranks)
        return made.eval()

    def _size(self, name: str, rank: Optional[int]) -> Tuple[int, float]:
        """The rank of a layer's update, and the alpha that keeps its scale."""
        layer = self.layers.get(name)
        if layer is None:
            own, scale = self.config.r, 1.0
        else:
            own, scale = layer.r[self.name], layer.scaling[self.name]
        rank = rank or own
        return rank, scale * (math.sqrt(rank) if self.config.use_rslora else rank)

    def _fill(self, made: Any, ranks: Mapping[str, int]) -> None:
        """Put in what was before, and over it what is new."""
        own = dict(made.named_parameters())
        for name, value in self.model.named_parameters():
            if name in own and own[name].shape == value.shape and ("lora_" in name or "modules_to_save" in name):
                own[name].copy_(value)
        inner = made.get_base_model()
        for update in self.updates:
            layer = inner.get_submodule(update.name)
            low, high = update.factors(ranks[update.name], layer.scaling[self.name])
            for part, value in ((layer.lora_A, low), (layer.lora_B, high)):
                part[self.name].weight.copy_(value)
        for name, layer in inner.named_modules():
            if hasattr(layer, "modules_to_save"):
                saved = layer.modules_to_save[self.name]
                state = {key[len(name) + 1 :]: value for key, value in self.whole.state_dict().items() if key.startswith(f"{name}.")}
                saved.load_state_dict(state)
        if self.biases:
            for name, value in inner.named_parameters():
                plain = name.replace(".base_layer.", ".")
                if plain.endswith("bias") and plain in self.after and "modules_to_save" not in name:
                    value.copy_(self.after[plain])


def _logits(model: Any, loader: Iterable[Any]) -> torch.Tensor:
    found: List[torch.Tensor] = []
    device = device_of(model)
    with torch.inference_mode(), evaluating(model):
        for batch in loader:
            made = output_of(called(model, moved(parted(batch)[0], device)))
            if made is None:
                raise DisinheritError("the network gives back no logits: neither a tensor nor something with `logits`")
            found.append(made.float().flatten(0, -2).cpu())
    if not found:
        raise DisinheritError("the loader gave no samples")
    return torch.cat(found)
