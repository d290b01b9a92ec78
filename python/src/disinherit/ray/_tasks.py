"""What workers on a cluster are told, do and answer."""

from __future__ import annotations

import functools
import importlib
import os
import pickle
import re
import time
from dataclasses import dataclass
from typing import Any, Callable, List, Mapping, Optional, Sequence, Tuple, Union

import ray

import disinherit

from .._arguments import PathLike
from .._data import Data
from .._disinherit import Data as _Data
from .._disinherit import DisinheritError, NeedsData, judge_models, run_shard
from .._registry import Registry
from ..results import Verdict

#: What workers open their data by: what :meth:`disinherit.Data.open` reads, or a function without arguments that gives
#: :class:`disinherit.Data` (modules and loaders of PyTorch, for instance), itself or as ``module:function``.
DataSource = Union[PathLike, Callable[[], Data]]

Source = Union[None, str, Callable[[], Data]]

_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")


class VersionsDiffer(DisinheritError):
    """A worker has another version of the package than the driver."""


@dataclass(frozen=True)
class Work:
    """What all workers are told."""

    kind: str
    registry: str
    data: Source
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Part:
    """What one worker is told besides: which shard it has (``3/40``), of how many models, and their names where it
    does not find them by itself."""

    shard: str
    models: int
    names: Sequence[str] = ()

    @property
    def number(self) -> int:
        return int(self.shard.split("/")[0])


@dataclass(frozen=True)
class Told:
    """What a worker says of its part."""

    node: Optional[str]
    said: str
    seconds: Optional[float] = None
    value: Any = None
    error: Optional[Exception] = None
    died: bool = False


def pieces(models: Sequence[str], count: int) -> List[Part]:
    """Models in so many parts, as even as can be, in their order."""
    count = max(1, min(count, len(models)))
    bounds = [len(models) * number // count for number in range(count + 1)]
    lists = [list(models[start:end]) for start, end in zip(bounds, bounds[1:])]
    return [Part(f"{number}/{count}", len(names), names) for number, names in enumerate(lists, 1)]


def execute(version: str, work: Work, part: Part) -> Told:
    """One part of some work, in a worker."""
    context = ray.get_runtime_context()
    node = f"{ray.util.get_node_ip_address()} ({context.get_node_id()[:8]})"
    # As many threads as Ray gives processors, where no setting says otherwise. Read when the first ones are made.
    processors = context.get_assigned_resources().get("CPU", 1)
    os.environ.setdefault("RAYON_NUM_THREADS", str(max(1, int(processors))))
    start = time.monotonic()
    try:
        if version != disinherit.__version__:
            raise VersionsDiffer(
                f"the worker on {node} has disinherit {disinherit.__version__}, the driver {version}: install the same"
            )
        value, said = _EXECUTORS[work.kind](work, part)
        return Told(node, said, time.monotonic() - start, value)
    except Exception as error:
        open_once.cache_clear()
        said = f"{type(error).__name__}: {error}"
        return Told(node, said, time.monotonic() - start, error=_portable(error))


def _portable(error: Exception) -> Exception:
    """An exception that survives the way to the driver."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return DisinheritError(f"{type(error).__name__}: {error}")


def _unlearn_part(work: Work, part: Part) -> Tuple[None, str]:
    registry, data = Registry(work.registry), open_once(work.data)
    done = registry.unlearn_shard(part.shard, data=data, progress=False, **work.arguments)
    return None, f"{done.edited} models edited, {done.taken_up} were finished"


def _known_data(work: Work) -> Data:
    data = open_once(work.data)
    if data is None:
        raise NeedsData(f"`{work.kind}` needs data: give `data=`")
    return data


def _fisher_part(work: Work, part: Part) -> Tuple[int, str]:
    made = Registry(work.registry).fisher(part.names, _known_data(work), progress=False, **work.arguments)
    return made, f"{made} cards made, {part.models - made} were there"


def _verify_part(work: Work, part: Part) -> Tuple[List[Verdict], str]:
    registry, data = Registry(work.registry), _known_data(work)
    verdicts = registry.verify(data, models=part.names, progress=False, **work.arguments)
    return verdicts, f"{len(verdicts)} models judged"


def _edit_part(work: Work, part: Part) -> Tuple[None, str]:
    data, request = inner(open_once(work.data)), work.arguments["request"]
    done = run_shard(Registry(work.registry)._inner, request, data, part.shard)
    return None, f"{done.edited} models edited, {done.taken_up} were finished"


def _judge_part(work: Work, part: Part) -> Tuple[bytes, str]:
    data, request, bar = _known_data(work), work.arguments["request"], work.arguments["bar"]
    verdicts = judge_models(Registry(work.registry)._inner, request, data._inner, list(part.names), bar)
    return verdicts, f"{part.models} models judged"


_EXECUTORS = {
    "unlearn": _unlearn_part,
    "fisher": _fisher_part,
    "verify": _verify_part,
    "edit": _edit_part,
    "judge": _judge_part,
}


@dataclass(frozen=True)
class SizedSource:
    """Data that is opened with a size of images, or a tokenizer of texts."""

    path: str
    size: Optional[Tuple[int, int]]
    tokenizer: Optional[str]

    def __call__(self) -> Data:
        return Data.open(self.path, size=self.size, tokenizer=self.tokenizer)


def inner(data: Optional[Data]) -> Optional[_Data]:
    """What the engine is given."""
    return None if data is None else data._inner


def source_of(data: Optional[DataSource]) -> Source:
    """What every worker can open for itself."""
    if isinstance(data, Data):
        raise DisinheritError(
            "`data=` must be something that every worker opens for itself: what `Data.open` reads, or a function that "
            "gives `Data`, itself or as `module:function`"
        )
    return data if data is None or callable(data) else os.fspath(data)


def open_data(source: Source) -> Optional[Data]:
    """The data that is meant."""
    if source is None:
        return None
    named = None if callable(source) else _FUNCTION.fullmatch(source)
    if named is not None:
        source = getattr(importlib.import_module(named[1]), named[2])
    made = source() if callable(source) else Data.open(source)
    if not isinstance(made, Data):
        raise DisinheritError(f"the function of `data=` must give `disinherit.Data`, not {type(made).__name__}")
    return made


@functools.lru_cache(maxsize=1)
def open_once(source: Source) -> Optional[Data]:
    """The same, kept by a worker for its next shard."""
    return open_data(source)
