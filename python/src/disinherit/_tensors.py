"""Tensors and arrays as the registry keeps them: type as in safetensors, shape, bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Dict, List, Tuple

from ._disinherit import DisinheritError

#: Names of types in NumPy and PyTorch, and in safetensors.
TYPES: Dict[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    #: A tensor: name, type, shape, bytes.
    Given = Tuple[str, str, List[int], NDArray[np.uint8]]


def floats(dtype: str, raw: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The values of a floating-point tensor in single precision."""
    import numpy as np

    if dtype == "BF16":
        # The upper half of a single-precision number.
        widened = raw.view(np.uint16).astype(np.uint32)
        np.left_shift(widened, 16, out=widened)
        return widened.view(np.float32)
    names: Dict[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
    if dtype not in names:
        raise DisinheritError(f"a tensor of the type {dtype} is not one of floating-point numbers")
    values: NDArray[np.float32] = raw.view(names[dtype]).astype(np.float32, copy=False)
    return values


def _bytes(value: Any) -> Tuple[str, List[int], NDArray[np.uint8]]:
    """Type, shape and bytes of a tensor or an array, without a copy where it is contiguous."""
    if hasattr(value, "detach"):
        import torch

        tensor = value.detach().cpu().contiguous()
        kind = str(tensor.dtype).replace("torch.", "")
        flat = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else tensor.new_empty(0, dtype=torch.uint8)
        shape, raw = list(tensor.shape), flat.numpy()
    else:
        import numpy as np

        array = np.asarray(value)
        kind, shape = str(array.dtype), list(array.shape)
        raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    if kind not in TYPES:
        raise DisinheritError(f"tensors of the type {kind} cannot be kept")
    return TYPES[kind], shape, raw


def given(source: Any) -> List[Given]:
    """The tensors of a module or of a mapping of names to tensors or arrays."""
    state = source.state_dict() if hasattr(source, "state_dict") else source
    if not isinstance(state, Mapping):
        raise DisinheritError(
            f"weights are a module or a mapping of names to tensors (in `add` also a path), not {type(source).__name__}"
        )
    return [(name, *_bytes(value)) for name, value in state.items() if hasattr(value, "dtype")]
