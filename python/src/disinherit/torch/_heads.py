"""The head of a module: which layer it is, and what goes into it and comes out in a pass."""

from __future__ import annotations

import warnings
from typing import Any, Callable, List, Optional, Tuple, Union

import torch
from torch import nn

from .. import DisinheritError
from ._modules import output_of

#: A layer that can be a head: linear on its input, or on each place of it.
Head = Union[nn.Linear, nn.Conv2d]


def _is_pointwise(layer: nn.Module) -> bool:
    """Whether a convolution is a linear layer on each place of a map."""
    return (
        isinstance(layer, nn.Conv2d)
        and tuple(layer.kernel_size) == (1, 1)
        and tuple(layer.stride) == (1, 1)
        and layer.padding in ((0, 0), "valid", "same")
        and layer.groups == 1
    )


def _outputs(layer: Head) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def find_head(module: nn.Module, classes: Optional[int] = None) -> str:
    """The name of the last linear layer that is registered, with ``classes`` outputs where that is known.

    Where none fits, the last 1x1 convolution that does.
    """
    named = list(module.named_modules())
    linear: List[Tuple[str, Head]] = [(name, layer) for name, layer in named if isinstance(layer, nn.Linear)]
    pointwise: List[Tuple[str, Head]] = [
        (name, layer) for name, layer in named if isinstance(layer, nn.Conv2d) and _is_pointwise(layer)
    ]
    for layers in (linear, pointwise):
        fitting = [name for name, layer in layers if classes is None or _outputs(layer) == classes]
        if fitting:
            return fitting[-1]
    known = ", ".join(f"{name} with {_outputs(layer)}" for name, layer in [*pointwise, *linear][-8:]) or "none"
    raise DisinheritError(
        f"no linear layer has {classes} outputs (linear layers and 1x1 convolutions: {known}); name the head with `head=`"
    )


def head_of(module: nn.Module, name: str) -> Head:
    """The head of this name, where it is one that can be dampened."""
    try:
        layer = module.get_submodule(name)
    except AttributeError:
        raise DisinheritError(f"the module has no layer `{name}`") from None
    if not isinstance(layer, nn.Linear) and not (isinstance(layer, nn.Conv2d) and _is_pointwise(layer)):
        raise DisinheritError(
            f"`{name}` is {type(layer).__name__}, not a linear layer (or a 1x1 convolution, without groups, "
            f"stride and padding)"
        )
    for other, parameter in module.named_parameters(remove_duplicate=False):
        if parameter is layer.weight and other != (f"{name}.weight" if name else "weight"):
            raise DisinheritError(
                f"the head `{name}` is tied to `{other}`: what is dampened in one would be missing in the "
                f"other; give it weights of its own: layer.weight = "
                f"torch.nn.Parameter(layer.weight.detach().clone())"
            )
    return layer


def matrix_of(weight: torch.Tensor) -> torch.Tensor:
    """A head's weight as ``[outputs, inputs]``: that of a 1x1 convolution has two dimensions of 1 besides."""
    return weight.flatten(1) if weight.dim() == 4 and tuple(weight.shape[2:]) == (1, 1) else weight


def _close(left: torch.Tensor, right: torch.Tensor) -> bool:
    size = right.abs().max().clamp(min=1e-6) if right.numel() else torch.ones(())
    return bool((left - right).abs().le(1e-2 * size).all())


def _made_of(logits: torch.Tensor, output: torch.Tensor) -> bool:
    """Whether an output is these logits, a multiple of them, or what they are usually made into."""
    logits, output = logits.float(), output.float()
    scale = (logits * output).sum() / logits.square().sum().clamp(min=1e-12)
    made = (logits * scale.clamp(min=0), logits.softmax(-1), logits.log_softmax(-1), logits.sigmoid())
    return any(_close(one, output) for one in made)


def _pooled(values: torch.Tensor) -> torch.Tensor:
    """The mean over the places of a map: ``[samples, channels]``."""
    return values.mean((2, 3))


def _of_positions(
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


def _of_map(
    name: str, given: torch.Tensor, made: torch.Tensor, output: Optional[torch.Tensor]
) -> Tuple[torch.Tensor, torch.Tensor]:
    """A row for each sample, of a head that is a 1x1 convolution.

    The mean over places commutes with the convolution: ``mean_p(W h_p + b) = W mean_p(h_p) + b``. So where the
    module gives back the mean of what its head makes, the mean of what goes in is a sample's features, and the
    head is a linear layer on them: Fisher information, edits and verdicts are exact. Where it gives back every
    place, each place is a sample.
    """
    if output is not None and output.dim() == 4 and output.shape == made.shape:
        return tuple(values.movedim(1, -1).flatten(0, 2) for values in (given, made))  # type: ignore[return-value]
    flat = None if output is None else output.flatten(1)
    if flat is not None and flat.shape == made.shape[:2] and flat.isfinite().all():
        if _made_of(_pooled(made), flat):
            return _pooled(given), _pooled(made)
        if _made_of(_pooled(made.relu()), flat):
            # The gradient with respect to row k is r_k times the mean of h_p over the places where row k is
            # above 0: another vector for each row, and other ones as soon as a weight changes.
            raise DisinheritError(
                f"the head `{name}` is a 1x1 convolution with a ReLU between it and the mean over places, as in "
                f"SqueezeNet: each row then counts places of its own, and others once it is edited, so no "
                f"features of a sample stand for the map, and neither Fisher information nor alpha would be "
                f"right. Take the ReLU out (logits may be negative) and fine-tune, or put a linear layer "
                f"behind the mean"
            )
    raise DisinheritError(
        f"the head `{name}` is a 1x1 convolution that ran on {list(given.shape)}, and the module's output is "
        f"neither what it makes at every place nor the mean of that over all places: what stands between them "
        f"must be a global average pooling"
    )


class HeadRecorder:
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

    def __enter__(self) -> HeadRecorder:
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
        linear = isinstance(self.layer, nn.Linear)
        wanted = "[samples, features]" if linear else "[samples, channels, height, width]"
        if len(seen) != 1 or (seen[0][0].dim() < 2 if linear else seen[0][0].dim() != 4):
            raise DisinheritError(
                f"the head `{self.name}` ran {len(seen)} times in one pass"
                + (f" on {list(seen[0][0].shape)}" if seen else "")
                + f"; it must run once, on {wanted}"
            )
        return seen[0]

    def rows(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """Features and logits, a row for each sample."""
        given, made = self._pop()
        output, self.output = self.output, None
        if not isinstance(self.layer, nn.Linear):
            # What the module makes of it is known by now.
            return _of_map(self.name, given, made, output)
        if given.dim() > 2:
            given, made = _of_positions(self.name, given, made, output)
            # Of one position it is known by now.
            output = output.flatten(0, -2) if output is not None and output.dim() > 2 else None
        if self.doubt is not None and output is not None:
            if output.shape == made.shape and output.isfinite().all() and not _made_of(made, output):
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
        if not isinstance(self.layer, nn.Linear):
            return _pooled(made)
        return made if made.dim() == 2 or output is None else output
