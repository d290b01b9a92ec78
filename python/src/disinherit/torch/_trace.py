"""The penultimate layer of a module, by watching a pass: which layer it is, and what its output becomes.

The *penultimate layer* is the last linear layer or convolution before the features. What its output becomes part of
before the next non-linearity is the *stream*: behind batch norm, dropout, an addition, a factor, another shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Set, Tuple

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from .. import DisinheritError
from ._heads import Head

#: Functions that are a layer's whole work: the places and names of what it reads, of its weight and of its bias.
_LAYERS = {
    "linear": ((0, "input"), (1, "weight"), (2, "bias")),
    "conv1d": ((0, "input"), (1, "weight"), (2, "bias")),
    "conv2d": ((0, "input"), (1, "weight"), (2, "bias")),
    # With a weight [inputs, outputs], as GPT-2 has it.
    "addmm": ((1, "mat1"), (2, "mat2"), (0, "input")),
    "mm": ((0, "input"), (1, "mat2"), (9, "")),
    "matmul": ((0, "input"), (1, "other"), (9, "")),
    "__matmul__": ((0, "input"), (1, "other"), (9, "")),
}
TRANSPOSED = {"addmm", "mm", "matmul", "__matmul__"}
#: Functions that a matrix of weights goes into. Those that are no layer here end the search.
_WEIGHTED = {
    *_LAYERS, "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "bilinear",
    "multi_head_attention_forward", "lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell",
    "rnn_relu_cell", "bmm", "addbmm", "baddbmm", "einsum", "tensordot", "__rmatmul__", "addmv", "mv", "chain_matmul",
    "_transformer_encoder_layer_fwd",
}  # fmt: skip
#: What only moves values to other places, or leaves some out.
_MOVES = {
    "view", "reshape", "permute", "flatten", "unflatten", "transpose", "t", "movedim", "moveaxis", "swapaxes", "swapdims",
    "squeeze", "unsqueeze", "contiguous", "view_as", "reshape_as", "clone", "__getitem__", "select", "narrow", "to",
    "float", "half", "bfloat16", "double", "type", "type_as",
}  # fmt: skip
#: Attributes that do.
_MOVING_ATTRIBUTES = {"T", "mT"}
#: What makes a gate: a factor of other values.
_GATES = {"sigmoid", "sigmoid_", "hardsigmoid", "hardsigmoid_"}
_SUMS = {"add", "add_", "__add__", "__radd__", "__iadd__", "sub", "sub_", "subtract", "__sub__", "__isub__"}
_FACTORS = {
    "mul", "mul_", "multiply", "__mul__", "__rmul__", "__imul__", "div", "div_", "divide", "true_divide", "__truediv__",
    "__itruediv__",
}  # fmt: skip


def _is_among(tensor: torch.Tensor, others: Sequence[torch.Tensor]) -> bool:
    return any(tensor is other for other in others)


def directions(like: torch.Tensor) -> torch.Tensor:
    """Arbitrary values, the same each time: a combination of features that no gradient vanishes in by chance."""
    values = torch.randn(like.shape, generator=torch.Generator().manual_seed(0))
    return values.to(like.device, like.dtype)


class Unfit(Exception):
    """Why the penultimate layer of a module cannot be edited, in words."""


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors among arguments or results, however deep."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def _replaced(value: Any, swap: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Results with other tensors in place of their own."""
    if isinstance(value, torch.Tensor):
        return swap(value)
    if type(value) in (list, tuple):
        return type(value)(_replaced(item, swap) for item in value)
    return value


def argument(args: Sequence[Any], kwargs: Mapping[str, Any], place: int, name: str, default: Any = None) -> Any:
    """An argument by its place or its name."""
    return args[place] if len(args) > place else kwargs.get(name, default)


def _of_layer(function: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Tuple[Any, Any, Any]:
    """What a function that may be a layer reads, its weight and its bias."""
    if function not in _LAYERS:
        return None, None, None
    given, weight, bias = (argument(args, kwargs, place, name) for place, name in _LAYERS[function])
    return given, weight, bias


class Parameters:
    """The names of a module's parameters, by the parameters."""

    def __init__(self, module: nn.Module) -> None:
        self.names: Dict[int, List[str]] = {}
        for name, parameter in module.named_parameters(remove_duplicate=False):
            self.names.setdefault(id(parameter), []).append(name)
        #: Kept, so that their ids stay theirs.
        self.held = [*module.parameters(), *module.buffers()]

    def name(self, tensor: torch.Tensor, what: str) -> str:
        """The one name of a parameter."""
        names = self.names.get(id(tensor), [])
        if not names:
            raise Unfit(f"{what} is no parameter but made from others, as weight norm does")
        if len(names) > 1:
            raise Unfit(f"{what} is shared: it is `{names[0]}` and `{names[1]}`")
        return names[0]

    def alone(self, tensor: Optional[torch.Tensor]) -> Optional[str]:
        """The name of a parameter that has one and no other."""
        names = self.names.get(id(tensor), [])
        return names[0] if len(names) == 1 else None


class _Constants:
    """Tensors that no input is in: parameters, buffers, and what is made of them alone."""

    def __init__(self, parameters: Parameters) -> None:
        self.held = list(parameters.held)
        self.ids = {id(tensor) for tensor in self.held}

    def __contains__(self, tensor: torch.Tensor) -> bool:
        return id(tensor) in self.ids

    def note(self, given: Sequence[torch.Tensor], made: Sequence[torch.Tensor]) -> None:
        if all(tensor in self for tensor in given):
            self.held.extend(made)
            self.ids.update(map(id, made))


@dataclass
class _Call:
    """A function that weights went into."""

    function: str
    weight: Optional[torch.Tensor]
    bias: Optional[torch.Tensor]
    #: What it made, from where on gradients are taken.
    leaves: List[torch.Tensor]
    #: How many such functions were before it, on the longest way to it.
    depth: int
    #: Whether what it makes does nothing but weigh other values.
    is_gate: bool = False


@dataclass
class Layer:
    """A linear layer or convolution of a module."""

    weight: torch.Tensor
    #: The names of its weight and, where it has one, of its bias.
    name: str
    bias: Optional[str]


class Finder(TorchFunctionMode):
    """Watches a pass for the last layer that leads to the features.

    Wherever weights go in, the graph of gradients is cut: the features then have gradients with respect to what
    was made last on each way to them, and to nothing before. Of these the one with the most layers behind it is
    the penultimate layer: in a residual block the branch and not the shortcut, with a pooler the pooler. What weighs
    channels of another layer, as squeeze-and-excitation does, is passed over.
    """

    def __init__(self, module: nn.Module, head: Head, named: Optional[torch.Tensor] = None) -> None:
        super().__init__()
        self.parameters = Parameters(module)
        self.constants = _Constants(self.parameters)
        self.head = head
        self.named = named
        self.calls: List[_Call] = []
        #: Of each tensor the deepest call that it was made from, by the tensor's id.
        self.origins: Dict[int, _Call] = {}
        self.gates: Set[int] = set()
        self.held: List[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with torch.enable_grad():
            made = func(*args, **kwargs)
        results = list(tensors_in(made))
        if not results:
            return made
        given = list(tensors_in((args, kwargs)))
        self.constants.note(given, results)
        origin = self._origin(given)
        name = getattr(func, "__name__", "")
        if name in _WEIGHTED and self._is_wanted(name, given, args, kwargs):
            _, weight, bias = _of_layer(name, args, kwargs)
            origin = call = _Call(name, weight, bias, [], 1 + (0 if origin is None else origin.depth))
            made = _replaced(made, lambda tensor: self._cut(call, tensor))
            results = list(tensors_in(made))
            self.calls.append(call)
        elif name in _FACTORS:
            self._note_gate(given)
        self.held.extend(results)
        for tensor in results:
            if origin is not None:
                self.origins[id(tensor)] = origin
            moved = name in _MOVES | {"expand", "expand_as"} and given and id(given[0]) in self.gates
            if name in _GATES or moved:
                self.gates.add(id(tensor))
        return made

    def _origin(self, given: Sequence[torch.Tensor]) -> Optional[_Call]:
        origins = [self.origins[id(tensor)] for tensor in given if id(tensor) in self.origins]
        return max(origins, key=lambda call: call.depth, default=None)

    def _note_gate(self, given: Sequence[torch.Tensor]) -> None:
        """A layer is a gate where what it makes is a factor of what less deep layers made."""
        gates = [tensor for tensor in given if id(tensor) in self.gates]
        others = self._origin([tensor for tensor in given if id(tensor) not in self.gates])
        gate = self._origin(gates)
        if gate is not None and others is not None and gate.depth > others.depth:
            gate.is_gate = True

    def _is_wanted(self, name: str, given: Sequence[torch.Tensor], args: Any, kwargs: Any) -> bool:
        _, weight, _ = _of_layer(name, args, kwargs)
        if self.named is not None:
            return weight is self.named
        if name in _LAYERS and name not in TRANSPOSED:
            return weight is not self.head.weight
        # A product of two activations is no layer.
        return any(tensor in self.constants for tensor in given) and not all(tensor in self.constants for tensor in given)

    def _cut(self, call: _Call, tensor: torch.Tensor) -> torch.Tensor:
        if not tensor.is_floating_point():
            return tensor
        leaf = tensor.detach().requires_grad_()
        call.leaves.append(leaf)
        with torch.enable_grad():
            # What is changed in place must not be the leaf.
            return leaf.clone()

    def found(self, features: torch.Tensor) -> Layer:
        """The layer, once the pass has given these features."""
        leaves = [leaf for call in self.calls for leaf in call.leaves]
        if not leaves or not features.requires_grad:
            raise Unfit("no linear layer or convolution of its own leads to the features")
        slopes = torch.autograd.grad(features, leaves, directions(features), allow_unused=True)
        known = {id(leaf) for leaf, slope in zip(leaves, slopes) if slope is not None and bool(slope.any())}
        leading = [call for call in self.calls if any(id(leaf) in known for leaf in call.leaves)]
        if not leading:
            raise Unfit("no linear layer or convolution of its own leads to the features")
        leading = [call for call in leading if not call.is_gate] or leading
        # The last one of the deepest.
        deepest = max(call.depth for call in leading)
        last = [call for call in leading if call.depth == deepest][-1]
        if last.weight is None or (last.function in TRANSPOSED and last.weight.dim() != 2):
            raise Unfit(f"the last weights below its head are in `{last.function}`, no linear layer or convolution")
        name = self.parameters.name(last.weight, "the last weight below its head")
        times = sum(call.weight is last.weight for call in self.calls)
        if times > 1:
            raise Unfit(f"`{name}` is used {times} times in a pass")
        return Layer(last.weight, name, self.parameters.alone(last.bias))


@dataclass
class Norm:
    """The batch norm behind a layer."""

    weight: Optional[torch.Tensor]
    bias: Optional[torch.Tensor]
    #: What it made.
    output: torch.Tensor


class Follower(TorchFunctionMode):
    """Watches a pass for what a layer reads and what its output becomes: at most ``most`` functions are followed.

    Afterwards ``given`` is what the layer read, ``output`` what it made (a leaf), ``stream`` what that became, with
    the way from ``output`` to it in the graph of gradients; with ``above`` the way from there to the features too.
    """

    def __init__(self, module: nn.Module, layer: Layer, most: Optional[int] = None, above: bool = False) -> None:
        super().__init__()
        self.constants = _Constants(Parameters(module))
        self.layer = layer
        self.most = most
        self.above = above
        self.function = ""
        self.arguments: Tuple[Sequence[Any], Mapping[str, Any]] = ((), {})
        self.given: Optional[torch.Tensor] = None
        self.output: Optional[torch.Tensor] = None
        self.stream: Optional[torch.Tensor] = None
        self.norm: Optional[Norm] = None
        #: The output and what it became, one after the other.
        self.chain: List[torch.Tensor] = []
        #: The place in the chain of the first value that is used more than once.
        self.branch: Optional[int] = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if _of_layer(name, args, kwargs)[1] is self.layer.weight:
            return self._begin(func, args, kwargs)
        given = list(tensors_in((args, kwargs)))
        branches = [place for place, value in enumerate(self.chain[:-1]) if _is_among(value, given)]
        following = bool(self.chain) and _is_among(self.chain[-1], given)
        if following:
            branches = [place for place in branches if self.chain[place] is not self.chain[-1]]
        following = following and self.stream is None
        # What goes on may be changed in place by what does not.
        before = self._copy() if following and not name.startswith("__get") else None
        recorded = following or (self.above and self.output is not None)
        with torch.set_grad_enabled(recorded):
            made = func(*args, **kwargs)
        results = list(tensors_in(made))
        if not results:
            return made
        if branches and (self.branch is None or min(branches) < self.branch):
            self.branch = min(branches)
        if self.stream is None:
            self.constants.note(given, results)
        if following:
            if self._goes_on(func, args, kwargs, given, results):
                self.chain.append(results[0])
            else:
                self.stream = self._copy() if before is None else before
        return made

    def _copy(self) -> torch.Tensor:
        with torch.enable_grad():
            return self.chain[-1].clone()

    def _begin(self, func: Any, args: Any, kwargs: Any) -> torch.Tensor:
        if self.output is not None:
            raise Unfit(f"`{self.layer.name}` is used more than once in a pass")
        given, _, _ = _of_layer(func.__name__, args, kwargs)
        self.given, self.function, self.arguments = given.detach().clone(), func.__name__, (args, kwargs)
        with torch.no_grad():
            self.output = func(*args, **kwargs)
        with torch.enable_grad():
            self.output = self.output.detach().requires_grad_()
            self.chain.append(self.output.clone())
        return self.chain[0]

    def _goes_on(
        self, func: Any, args: Any, kwargs: Any, given: Sequence[torch.Tensor], results: Sequence[torch.Tensor]
    ) -> bool:
        """Whether what was made is still the stream: every value the old one's, by a factor and a summand."""
        if (self.most is not None and len(self.chain) > self.most) or len(results) != 1:
            return False
        (made,), old = results, self.chain[-1]
        name = getattr(func, "__name__", "")
        if name == "__get__":
            return getattr(getattr(func, "__self__", None), "__name__", "") in _MOVING_ATTRIBUTES
        if name in _MOVES:
            # Not as an index or as the shape of another.
            return argument(args, kwargs, 0, "input") is old and made.is_floating_point()
        same_size = made.numel() == old.numel()
        others = [tensor for tensor in given if tensor is not old]
        if name in _SUMS:
            return same_size
        if name in _FACTORS:
            fixed = len(others) == len(given) - 1 and all(tensor in self.constants for tensor in others)
            divided = "div" in name and argument(args, kwargs, 0, "input") is not old
            return same_size and fixed and not divided
        if func is nn.functional.batch_norm:
            if argument(args, kwargs, 5, "training", False) or argument(args, kwargs, 0, "input") is not old:
                return False
            if self.norm is None:
                weight, bias = argument(args, kwargs, 3, "weight"), argument(args, kwargs, 4, "bias")
                with torch.enable_grad():
                    self.norm = Norm(weight, bias, made.clone())
            return True
        if "dropout" in name:
            return same_size and torch.equal(made, old)
        return False

    def finish(self) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the layer read, what it made, and the stream."""
        if self.given is None or self.output is None:
            raise Unfit(f"`{self.layer.name}` is not used in a pass")
        stream = self.chain[-1] if self.stream is None else self.stream
        return self.given, self.output, stream


def named_layer(module: nn.Module, head: Head, name: str) -> torch.Tensor:
    """The weight of a layer that was named."""
    try:
        weight = getattr(module.get_submodule(name), "weight", None)
    except AttributeError:
        weight = None
    if not isinstance(weight, nn.Parameter):
        raise DisinheritError(f"the module has no layer `{name}` with a weight: `layer=` names one as in named_modules()")
    if weight is head.weight:
        raise DisinheritError(f"`{name}` is the head, which is edited anyway: `layer=` names a layer below it")
    return weight
