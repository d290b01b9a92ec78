"""What the penultimate layer of a module reads and what its output becomes part of, as the engine edits it."""

from __future__ import annotations

from typing import Any, List, Optional, Tuple

import torch

from .._arrays import Floats
from .._data import PenultimateLayer
from ._heads import HeadRecorder
from ._modules import called, rows_of
from ._trace import TRANSPOSED, Finder, Follower, Parameters, Unfit, argument, directions, named_layer

#: Samples that a layer is found on.
FEW = 8

#: Channels whose batch norm has a smaller weight than this are as good as switched off.
_LEAST_GAMMA = 0.05


class Penultimate:
    """The penultimate layer of a module in evaluation mode, found on some of its inputs.

    Raises :class:`Unfit` where it cannot be edited.
    """

    def __init__(self, seen: HeadRecorder, inputs: Any, count: int, layer: Optional[str] = None) -> None:
        self.seen = seen
        self.module = seen.module
        named = None if layer is None else named_layer(self.module, seen.layer, layer)
        finder = Finder(self.module, seen.layer, named)
        with finder:
            called(self.module, inputs)
        with torch.enable_grad():
            self.layer = finder.found(seen.rows()[0])
        #: How many functions are followed from the layer's output to the stream.
        self.most: Optional[int] = None
        first, _ = self._pass(inputs)
        if first.branch is not None:
            # What is used twice does not go into the stream as a whole.
            self.most = first.branch
        follower, features = self._pass(inputs, above=True)
        _, output, stream = follower.finish()
        self.is_map = follower.function.startswith("conv")
        self.axis = _sample_axis(output, features, count, self.is_map)
        scale, values = _at_output(output, stream)
        rows = self._rows(scale, count)
        #: How many positions of each sample are kept, and whether by what the features depend on.
        self.picked, self.by_slope = self._positions(output, features, rows)
        kept = self._kept(rows, follower, features)
        self.tolerance = 1e-3 if self.layer.weight.dtype in (torch.float32, torch.float64) else 2e-2
        #: The factor of each channel, which is the same at all positions of all samples.
        self.factors = kept.flatten(0, 1).mean(0)
        self._check_factors(kept)
        self._check_linear(inputs, follower, values)
        self.description = self._described(follower, features, count)

    def _pass(self, inputs: Any, above: bool = False) -> Tuple[Follower, torch.Tensor]:
        """One pass, and the features."""
        follower = Follower(self.module, self.layer, self.most, above)
        with torch.no_grad(), follower:
            called(self.module, inputs)
        with torch.set_grad_enabled(above):
            return follower, self.seen.rows()[0]

    def read(self, inputs: Any, count: int) -> Tuple[Floats, Floats]:
        """What the layer reads and the stream, ``[samples, height, width, channels]`` each."""
        follower, features = self._pass(inputs, above=self.by_slope)
        given, output, stream = follower.finish()
        scale, values = _at_output(output, stream)
        kept = self._kept(self._rows(scale, count), follower, features)
        self._check_factors(kept)
        written = self._kept(self._rows(values, count), follower, features)
        if self.is_map:
            height, width = output.shape[2:] if output.dim() == 4 else (1, output.shape[2])
            maps = written.reshape(count, height, width, -1)
            return rows_of(self._windows(given, follower)), rows_of(maps)
        read = self._kept(self._rows(given, count), follower, features)
        return rows_of(read.unsqueeze(1)), rows_of(written.unsqueeze(1))

    def _rows(self, values: torch.Tensor, count: int) -> torch.Tensor:
        """``[samples, positions, channels]``, of what has the shape of the layer's output or its input."""
        if self.is_map:
            return values.movedim(1, -1).flatten(1, -2)
        if self.axis is None:
            return values.reshape(count, -1, values.shape[-1])
        values = values.movedim(self.axis, 0)
        return values.reshape(len(values), -1, values.shape[-1])

    def _positions(self, output: torch.Tensor, features: torch.Tensor, scale: torch.Tensor) -> Tuple[Optional[int], bool]:
        """How many positions of a sample lead to its features, where that is not all of them and as many for each."""
        selected = scale.ne(0).any(-1)
        counts = selected.sum(1)
        if not bool(selected.all()) and not bool((counts == 0).all()):
            if self.is_map or counts.min() != counts.max():
                raise Unfit(f"of what `{self.layer.name}` writes, a part alone leads to the features")
            return int(counts[0]), False
        if self.is_map or scale.shape[1] == 1:
            return None, False
        counts = self._slopes(output, features, len(scale)).ne(0).sum(1)
        same = bool((counts == counts[0]).all())
        return (int(counts[0]), True) if same and 0 < int(counts[0]) < scale.shape[1] else (None, False)

    def _slopes(self, output: torch.Tensor, features: torch.Tensor, count: int) -> torch.Tensor:
        """How much the features depend on each position, ``[samples, positions]``."""
        (slopes,) = torch.autograd.grad(features, output, directions(features), retain_graph=True)
        return self._rows(slopes.float(), count).square().sum(-1)

    def _kept(self, rows: torch.Tensor, follower: Follower, features: torch.Tensor) -> torch.Tensor:
        """The positions that lead to the features."""
        if self.picked is None:
            return rows
        _, output, stream = follower.finish()
        if self.by_slope:
            weights = self._slopes(output, features, len(rows))
        else:
            weights = self._rows(_at_output(output, stream)[0], len(rows)).ne(0).any(-1).float()
        places = weights.topk(self.picked, dim=1).indices.sort(dim=1).values
        return rows.gather(1, places.unsqueeze(-1).expand(-1, -1, rows.shape[-1]))

    def _check_factors(self, scale: torch.Tensor) -> None:
        limit = self.tolerance * self.factors.abs().max()
        if bool(((scale - self.factors).abs() > limit).any()):
            raise Unfit(f"what `{self.layer.name}` writes is multiplied by other factors at other places")

    def _check_linear(self, inputs: Any, first: Follower, values: torch.Tensor) -> None:
        """Whether a change of the weight changes the stream as it should, and nothing below."""
        weight = self.layer.weight
        before = weight.detach().clone()
        try:
            with torch.no_grad():
                weight.add_(directions(weight) * 0.1 * weight.float().std(unbiased=False).to(weight.dtype))
            second, _ = self._pass(inputs)
        finally:
            with torch.no_grad():
                weight.copy_(before)
        (given, output, stream), (again, moved, changed) = first.finish(), second.finish()
        scale, now = _at_output(moved, changed)
        wanted = scale.float() * (moved - output).detach().float()
        got = (now - values).float()
        size = wanted.abs().max().clamp(min=1e-12) + got.abs().max() * 1e-3 + 1e-4 * now.abs().max()
        if not torch.equal(given, again) or bool(((got - wanted).abs() > 20 * self.tolerance * size).any()):
            raise Unfit(f"what becomes of the output of `{self.layer.name}` is not linear in its weight")

    def _described(self, follower: Follower, features: torch.Tensor, count: int) -> PenultimateLayer:
        """What the engine is told of the layer."""
        factors = self.factors
        norm, shift = follower.norm, None
        if norm is not None:
            gamma = factors.new_ones(len(factors)) if norm.weight is None else norm.weight.detach().float()
            on = gamma.abs() >= _LEAST_GAMMA
            name = Parameters(self.module).alone(norm.bias)
            own, _ = _at_output(follower.finish()[1], norm.output)
            own = self._kept(self._rows(own, count), follower, features).flatten(0, 1).mean(0)
            shift = None if name is None else (name, rows_of(own))
        else:
            # A factor of its own, which training has made as good as nothing.
            on = factors.abs() >= _LEAST_GAMMA * factors.square().mean().sqrt()
        return PenultimateLayer(
            weight=self.layer.name,
            bias=self.layer.bias,
            shift=shift,
            scale=rows_of(torch.where(on, factors, torch.zeros_like(factors))),
            window=_square(follower) or (1, 1, 0),
            transposed=follower.function in TRANSPOSED,
        )

    def _windows(self, given: torch.Tensor, follower: Follower) -> torch.Tensor:
        """What a convolution reads, channels last: the map, or where its window is no plain square each window."""
        if _square(follower):
            return given.movedim(1, -1)
        (kernel, stride, padding, dilation), size = _geometry(follower), given.shape
        if given.dim() == 3:
            given, size = given.unsqueeze(2), given.unsqueeze(2).shape
            kernel, stride, dilation = (1, *kernel), (1, *stride), (1, *dilation)
            padding = [(0, 0), *padding]
        (top, bottom), (left, right) = padding
        given = torch.nn.functional.pad(given, (left, right, top, bottom))
        unfolded = torch.nn.functional.unfold(given, tuple(kernel), tuple(dilation), 0, tuple(stride))
        height = (size[2] + top + bottom - dilation[0] * (kernel[0] - 1) - 1) // stride[0] + 1
        return unfolded.transpose(1, 2).reshape(size[0], height, -1, unfolded.shape[1])


def _at_output(output: torch.Tensor, stream: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """The factor between a layer's output and the stream, and the stream, where the output has its values.

    Along the way every value is moved, multiplied by a factor ``s`` and added to. So the gradient of the stream with
    a cotangent ``v`` is ``s v``, at the place of the output: of ones the factor, of the stream itself the product.
    """
    ones = torch.ones_like(stream)
    (scale,) = torch.autograd.grad(stream, output, ones, retain_graph=True)
    (product,) = torch.autograd.grad(stream, output, stream.detach(), retain_graph=True)
    scale, product = scale.float(), product.float()
    return scale, torch.where(scale == 0, torch.zeros_like(product), product / scale)


def _sample_axis(output: torch.Tensor, features: torch.Tensor, count: int, is_map: bool) -> Optional[int]:
    """Along which axis of a layer's output the samples are; ``None`` where each is several rows of the first."""
    lead = 1 if is_map else output.dim() - 1
    channel = 1 if is_map else -1
    touched: List[torch.Tensor] = []
    way = directions(features[0])
    for sample in range(count):
        (slopes,) = torch.autograd.grad(features[sample], output, way, retain_graph=True)
        touched.append(slopes.ne(0).any(channel))
    for axis in range(lead):
        if output.shape[axis] == count and _apart([mark.movedim(axis, 0) for mark in touched]):
            return axis
    if not is_map and output.shape[0] % max(count, 1) == 0:
        if _apart([mark.reshape(count, -1) for mark in touched]):
            return None
    raise Unfit("which of the values that its last layer writes belong to which sample cannot be told")


def _apart(touched: List[torch.Tensor]) -> bool:
    """Whether sample by sample the features depend on rows of that sample alone."""
    own = torch.eye(len(touched), dtype=torch.bool, device=touched[0].device)
    return all(not bool(mark[~own[sample]].any()) for sample, mark in enumerate(touched))


def _geometry(follower: Follower) -> Tuple[Any, Any, Any, Any]:
    """Kernel, stride, padding (before and behind, along each side) and dilation of a convolution."""
    args, kwargs = follower.arguments
    weight = argument(args, kwargs, 1, "weight")
    kernel: Any = tuple(weight.shape[2:])

    def each(place: int, name: str, default: int) -> Tuple[int, ...]:
        value = argument(args, kwargs, place, name, default)
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * len(kernel) if len(values) == 1 else values

    stride, dilation = each(3, "stride", 1), each(5, "dilation", 1)
    padding: Any = argument(args, kwargs, 4, "padding", 0)
    if padding == "same":
        room = [d * (k - 1) for k, d in zip(kernel, dilation)]
        padding = [(total // 2, total - total // 2) for total in room]
    else:
        padding = [(side, side) for side in (each(4, "padding", 0) if padding != "valid" else (0,) * len(kernel))]
    groups = argument(args, kwargs, 6, "groups", 1)
    if groups != 1:
        raise Unfit(f"`{follower.layer.name}` is a convolution in {groups} groups")
    return kernel, stride, padding, dilation


def _square(follower: Follower) -> Optional[Tuple[int, int, int]]:
    """Kernel, stride and padding of a layer that looks through a plain square window."""
    if not follower.function.startswith("conv"):
        return (1, 1, 0)
    kernel, stride, padding, dilation = _geometry(follower)
    sides = {*padding[0], *padding[-1]}
    plain = len(kernel) == 2 and kernel[0] == kernel[1] and stride[0] == stride[1] and set(dilation) == {1}
    return (kernel[0], stride[0], padding[0][0]) if plain and len(sides) == 1 else None
