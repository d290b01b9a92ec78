"""ONNX Runtime for ONNX graphs; public as :func:`disinherit.use_onnx_runtime`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Optional

from ._arguments import PathLike
from ._disinherit import DisinheritError, load_onnx_runtime

#: What the library is called, by system.
_NAMES = ("libonnxruntime.so*", "libonnxruntime*.dylib", "onnxruntime.dll")


def use_onnx_runtime(library: Optional[PathLike] = None) -> str:
    """Compute the features of ONNX graphs by ONNX Runtime from now on, in this process; returns its version.

    ``library`` is its shared library; when not given, that of the installed package ``onnxruntime`` is taken. A process
    loads one. What it computes is kept apart from what the engine computes itself, which differs in last digits.
    """
    return load_onnx_runtime(_installed() if library is None else library)


def _installed() -> Path:
    found = importlib.util.find_spec("onnxruntime")
    folders = found.submodule_search_locations if found else None
    libraries = [path for folder in folders or () for name in _NAMES for path in Path(folder, "capi").glob(name)]
    if not libraries:
        raise DisinheritError("the package `onnxruntime` is not installed: `pip install onnxruntime`, or give `library=`")
    return min(libraries)
