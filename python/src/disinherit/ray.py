"""Requests on the machines of a Ray cluster, or on the cores of one.

>>> import disinherit.ray
>>> done = disinherit.ray.unlearn("s3://team/models", classes=["cat"], data="photos.parquet")
>>> done.result.operation, sorted({run.node for run in done.shards})

The driver plans, Ray tasks execute shards of the plan, and the driver publishes once. Workers open registry and data
themselves, by their addresses and with the credentials of their own environment: no weights pass through the driver.
A finished task is a draft in the registry, so a worker that dies costs what it was at and nothing else, and the same
call, made again, goes on where the last one stopped.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import os
import pickle
import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, List, Mapping, Optional, Sequence, Tuple, TypeVar, Union

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError, TaskCancelledError, TaskUnschedulableError

import disinherit

from ._arguments import Labels, PathLike, listed, progress_bars
from ._data import Data
from ._disinherit import Conflict, Damaged, DisinheritError, NeedsData, dispatch_parts
from ._record import Record
from ._registry import Registry
from ._workers import EndedAttempt
from .results import Unlearned, Verdict

__all__ = ["DataSource", "Distributed", "ShardFailed", "ShardRun", "VersionsDiffer", "fisher", "unlearn", "verify"]

#: What workers open their data by: what :meth:`disinherit.Data.open` reads, or a function without arguments that gives
#: :class:`disinherit.Data` (modules and loaders of PyTorch, for instance), itself or as ``module:function``.
DataSource = Union[PathLike, Callable[[], Data]]

_Source = Union[None, str, Callable[[], Data]]

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_FUNCTION = re.compile(r"([A-Za-z_][\w.]*):([A-Za-z_]\w*)")

#: Shards for each worker: with several, a slow one is not waited for long.
_SHARDS_EACH = 4

#: Seconds between two looks at what is running, so that an interrupt is noticed.
_LOOK = 1.0


@dataclass(frozen=True)
class ShardRun(Record):
    """One attempt at a shard, and how it went."""

    #: Counted from 1.
    shard: int
    attempt: int
    #: ``success``; ``worker_died``, when its process or its machine went away; ``failed``, with an exception.
    outcome: str
    #: The machine, where it is known: its address and the first digits of Ray's id.
    node: Optional[str]
    seconds: float
    #: Of a success what was done, in words; otherwise what went wrong.
    said: str


@dataclass(frozen=True)
class Distributed(Record, Generic[_T]):
    """What was done by many workers."""

    result: _T
    #: All attempts, in the order in which they ended.
    shards: List[ShardRun]


class ShardFailed(DisinheritError):
    """A shard failed as often as was allowed. ``shards`` has all attempts.

    What was finished is kept in the registry: the same call goes on from there.
    """

    shards: List[ShardRun]


class VersionsDiffer(DisinheritError):
    """A worker has another version of the package than the driver."""


@dataclass(frozen=True)
class _Job:
    """What all workers are told."""

    kind: str
    registry: str
    data: _Source
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class _Part:
    """What one worker is told besides: which shard it has (``3/40``), of how many models, and their names where it
    does not find them by itself."""

    shard: str
    models: int
    names: Sequence[str] = ()

    @property
    def number(self) -> int:
        return int(self.shard.split("/")[0])


@dataclass(frozen=True)
class _Told:
    """What a worker says of its part."""

    node: Optional[str]
    said: str
    seconds: Optional[float] = None
    value: Any = None
    error: Optional[Exception] = None
    died: bool = False


def unlearn(
    registry: PathLike,
    *,
    data: Optional[DataSource] = None,
    address: Optional[str] = None,
    num_workers: Optional[int] = None,
    ray_remote_args: Optional[Mapping[str, Any]] = None,
    max_retries: int = 3,
    shards: Optional[int] = None,
    progress: bool = True,
    **request: Any,
) -> Distributed[Unlearned]:
    """Forget as :meth:`disinherit.Registry.unlearn` does, with its arguments, on many workers.

    ``registry`` is a place that all workers reach: shared storage, or a folder on a file system that they share.
    ``data`` is what they, and this process, open theirs by (:data:`DataSource`).

    Without ``address`` the cluster that this process is in, or that ``RAY_ADDRESS`` names, is used; where there is none,
    one is started on this machine. ``num_workers`` tasks run at a time, or as many as the cluster has room for.
    ``ray_remote_args`` are those of ``ray.remote``: ``num_cpus`` (1 when not given), ``num_gpus``, ``memory``,
    ``resources``, ``runtime_env``. A shard whose worker dies, or that fails for a reason that may pass, is tried
    ``max_retries`` times more. ``shards`` is how many there are: when not given, 4 for each worker.

    Where trying again is of no use the worker's exception is raised, and otherwise in the end :class:`ShardFailed`.
    Nothing is published then, and finished tasks are kept.
    """
    _check(Registry.unlearn, request)
    cluster = _Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    place, opened = Registry(registry), _open(_source(data))
    known = inspect.signature(Registry.plan).parameters
    asked = {name: value for name, value in request.items() if name in known}
    plan = place.plan(data=opened, shards=shards or cluster.pieces(), **asked)
    parts = [_Part(each.shard, len(each.models)) for each in plan.shards if each.models]
    runs, _ = cluster.run(_Job("unlearn", os.fspath(registry), _source(data), request), parts)
    _log.info("all shards are done: publishing")
    return Distributed(place.unlearn(data=opened, progress=progress, **request), runs)


def fisher(
    registry: PathLike,
    models: Labels = (),
    *,
    data: DataSource,
    address: Optional[str] = None,
    num_workers: Optional[int] = None,
    ray_remote_args: Optional[Mapping[str, Any]] = None,
    max_retries: int = 3,
    shards: Optional[int] = None,
    progress: bool = True,
    **options: Any,
) -> Distributed[int]:
    """Compute and keep FIM cards as :meth:`disinherit.Registry.fisher` does, on many workers; all current models' when
    none is named. The other arguments are those of :func:`unlearn`.
    """
    _check(Registry.fisher, options)
    cluster = _Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    known = [model.id for model in Registry(registry).models() if model.state == "current"]
    parts = _pieces(listed(models) or known, shards or cluster.pieces())
    runs, made = cluster.run(_Job("fisher", os.fspath(registry), _source(data), options), parts)
    return Distributed(sum(made), runs)


def verify(
    registry: PathLike,
    models: Labels = (),
    *,
    data: DataSource,
    address: Optional[str] = None,
    num_workers: Optional[int] = None,
    ray_remote_args: Optional[Mapping[str, Any]] = None,
    max_retries: int = 3,
    shards: Optional[int] = None,
    progress: bool = True,
    **request: Any,
) -> Distributed[List[Verdict]]:
    """Judge models as :meth:`disinherit.Registry.verify` does, on many workers; those of the last request when none is
    named. The other arguments are those of :func:`unlearn`.
    """
    _check(Registry.verify, request)
    cluster = _Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    parts = _pieces(listed(models) or _last(Registry(registry)), shards or cluster.pieces())
    runs, verdicts = cluster.run(_Job("verify", os.fspath(registry), _source(data), request), parts)
    return Distributed([verdict for each in verdicts for verdict in each], runs)


def _check(method: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
    """Refuses arguments that workers would refuse, before any work."""
    known = set(inspect.signature(method).parameters) - {"self", "shard", "dry_run"}
    for name in arguments:
        if name not in known:
            raise TypeError(f"`{name}=` is not for many workers; these are: {', '.join(sorted(known))}")


def _last(registry: Registry) -> List[str]:
    """The models of the last request."""
    done = [operation for operation in registry.log() if operation.command == "unlearn"]
    if not done:
        raise DisinheritError("there is no request in the log: name the models")
    return [model for model, _ in done[-1].changes.models]


def _pieces(models: Sequence[str], count: int) -> List[_Part]:
    """Models in so many parts, as even as can be, in their order."""
    count = max(1, min(count, len(models)))
    bounds = [len(models) * number // count for number in range(count + 1)]
    lists = [list(models[start:end]) for start, end in zip(bounds, bounds[1:])]
    return [_Part(f"{number}/{count}", len(names), names) for number, names in enumerate(lists, 1)]


@dataclass
class _Cluster:
    """Who executes, and how often it is tried."""

    num_workers: Optional[int]
    remote_args: Dict[str, Any]
    max_retries: int
    progress: bool

    @classmethod
    def of(
        cls,
        address: Optional[str],
        num_workers: Optional[int],
        remote_args: Optional[Mapping[str, Any]],
        max_retries: int,
        progress: bool,
    ) -> _Cluster:
        if num_workers is not None and num_workers < 1:
            raise DisinheritError("`num_workers=` says how many tasks run at a time: 1 or more")
        if not ray.is_initialized():
            ray.init(address=address)
        elif address not in (None, "auto", ray.get_runtime_context().gcs_address):
            raise DisinheritError(
                f"this process is in the cluster at {ray.get_runtime_context().gcs_address} already: leave out `address=`, "
                f"or call `ray.shutdown()` first"
            )
        # What Ray would do again by itself is done here, where it is counted and told.
        arguments = {"scheduling_strategy": "SPREAD", **(remote_args or {}), "max_retries": 0}
        return cls(num_workers, arguments, max_retries, progress)

    def workers(self) -> int:
        """How many tasks run at a time."""
        if self.num_workers is not None:
            return self.num_workers
        asked = {"CPU": self.remote_args.get("num_cpus", 1), "GPU": self.remote_args.get("num_gpus", 0)}
        asked.update(self.remote_args.get("resources") or {})
        there = ray.cluster_resources()
        return max(1, min((int(there.get(name, 0) // amount) for name, amount in asked.items() if amount), default=1))

    def pieces(self) -> int:
        """Into how many shards work is cut."""
        return _SHARDS_EACH * self.workers()

    def run(self, job: _Job, parts: Sequence[_Part]) -> Tuple[List[ShardRun], List[Any]]:
        """Execute all parts; what each gave, in their order, and all attempts."""
        make = progress_bars(self.progress)
        models = sum(part.models for part in parts)
        bar = None if make is None else make(f"{job.kind} by {self.workers()} workers", models)

        def done(part: _Part) -> None:
            if bar is not None:
                bar.update(part.models)

        execution = _Execution(self, job, parts, done)
        try:
            values = execution.all()
        finally:
            if bar is not None:
                bar.close()
        return execution.runs, values


class _Execution:
    """The tasks of a job on the cluster; who tries what again, and when it is over, is said by the engine."""

    def __init__(self, cluster: _Cluster, job: _Job, parts: Sequence[_Part], done: Callable[[_Part], None]) -> None:
        self.cluster, self.job, self.done = cluster, job, done
        self.parts = {part.shard: part for part in parts}
        self.task = ray.remote(_execute)
        self.running: Dict[Any, Tuple[str, int, float]] = {}
        self.ended: Dict[Tuple[str, int], Tuple[_Told, float]] = {}
        self.runs: List[ShardRun] = []

    def all(self) -> List[Any]:
        """What each part gave, in their order."""
        tasks = [(part.shard, part.models) for part in self.parts.values()]
        return dispatch_parts(self, tasks, self.cluster.max_retries, self._heard, self._gave_up)

    def room(self) -> int:
        # Without a number Ray is given all of them: it runs what there is room for, and makes more room where it can.
        return self.cluster.num_workers or len(self.parts)

    def submit(self, shard: str, models: int, attempt: int) -> None:
        task = self.task.options(**self.cluster.remote_args, name=f"disinherit {self.job.kind} {shard}")
        reference = task.remote(disinherit.__version__, self.job, self.parts[shard])
        self.running[reference] = (shard, attempt, time.monotonic())

    def wait(self) -> List[EndedAttempt]:
        ready, _ = ray.wait(list(self.running), timeout=_LOOK)
        return [self._ended(reference) for reference in ready]

    def cancel(self) -> None:
        for reference in self.running:
            ray.cancel(reference, force=True)

    def _ended(self, reference: Any) -> EndedAttempt:
        shard, attempt, start = self.running.pop(reference)
        told = _told(reference)
        seconds = time.monotonic() - start if told.seconds is None else told.seconds
        self.ended[shard, attempt] = (told, seconds)
        if told.died:
            return shard, attempt, told.node, seconds, "worker_died", told.said, False
        if told.error is not None:
            return shard, attempt, told.node, seconds, "failed", told.error, _is_final(told.error)
        return shard, attempt, told.node, seconds, "success", told.value, False

    def _heard(self, shard: str, attempt: int, again: bool) -> None:
        """Notes how an attempt went."""
        told, seconds = self.ended.pop((shard, attempt))
        part = self.parts[shard]
        outcome = "worker_died" if told.died else "success" if told.error is None else "failed"
        self.runs.append(ShardRun(part.number, attempt, outcome, told.node, seconds, told.said))
        where = f"{self.job.kind} {shard} on {told.node or 'a machine that is gone'}"
        if outcome == "success":
            _log.info("%s: %s, %.1f s", where, told.said, seconds)
            self.done(part)
        else:
            _log.warning("%s: %s (attempt %d%s)", where, told.said, attempt, ", trying again" if again else "")

    def _gave_up(self, shard: str, attempts: int, last: str, error: Optional[BaseException]) -> ShardFailed:
        failure = ShardFailed(
            f"shard {shard} failed in {attempts} attempts, at last with {last}; what was finished is kept: the same "
            f"call goes on from there"
        )
        failure.shards = self.runs
        failure.__cause__ = error
        return failure


def _is_final(error: Optional[Exception]) -> bool:
    """Whether trying again is of no use: whatever is refused for what it is."""
    if isinstance(error, (RuntimeEnvSetupError, TaskUnschedulableError, TaskCancelledError)):
        return True
    # What has no class of its own may come of storage or database.
    passing = (Conflict, Damaged)
    return isinstance(error, DisinheritError) and type(error) is not DisinheritError and not isinstance(error, passing)


def _told(reference: Any) -> _Told:
    """What became of a task: its own words, or Ray's."""
    try:
        told: _Told = ray.get(reference)
        return told
    except RayTaskError as error:
        # The task itself tells its failures: this one did not get as far, for want of the package for instance.
        return _Told(None, f"the task cannot be run there: {error.cause}", error=error)
    except (RuntimeEnvSetupError, TaskUnschedulableError, TaskCancelledError) as error:
        return _Told(None, str(error), error=error)
    except RayError as error:
        return _Told(None, f"{type(error).__name__}: {str(error).splitlines()[0]}", error=error, died=True)


def _execute(version: str, job: _Job, part: _Part) -> _Told:
    """One part of a job, in a worker."""
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
        value, said = _EXECUTORS[job.kind](job, part)
        return _Told(node, said, time.monotonic() - start, value)
    except Exception as error:
        _open_once.cache_clear()
        said = f"{type(error).__name__}: {error}"
        return _Told(node, said, time.monotonic() - start, error=_portable(error))


def _portable(error: Exception) -> Exception:
    """An exception that survives the way to the driver."""
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return DisinheritError(f"{type(error).__name__}: {error}")


def _unlearn_part(job: _Job, part: _Part) -> Tuple[None, str]:
    registry, data = Registry(job.registry), _open_once(job.data)
    done = registry.unlearn_shard(part.shard, data=data, progress=False, **job.arguments)
    return None, f"{done.edited} models edited, {done.taken_up} were finished"


def _known_data(job: _Job) -> Data:
    data = _open_once(job.data)
    if data is None:
        raise NeedsData(f"`{job.kind}` needs data: give `data=`")
    return data


def _fisher_part(job: _Job, part: _Part) -> Tuple[int, str]:
    made = Registry(job.registry).fisher(part.names, _known_data(job), progress=False, **job.arguments)
    return made, f"{made} cards made, {part.models - made} were there"


def _verify_part(job: _Job, part: _Part) -> Tuple[List[Verdict], str]:
    registry, data = Registry(job.registry), _known_data(job)
    verdicts = registry.verify(data, models=part.names, progress=False, **job.arguments)
    return verdicts, f"{len(verdicts)} models judged"


_EXECUTORS = {"unlearn": _unlearn_part, "fisher": _fisher_part, "verify": _verify_part}


def _source(data: Optional[DataSource]) -> _Source:
    """What every worker can open for itself."""
    if isinstance(data, Data):
        raise DisinheritError(
            "`data=` must be something that every worker opens for itself: what `Data.open` reads, or a function that "
            "gives `Data`, itself or as `module:function`"
        )
    return data if data is None or callable(data) else os.fspath(data)


def _open(source: _Source) -> Optional[Data]:
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
def _open_once(source: _Source) -> Optional[Data]:
    """The same, kept by a worker for its next shard."""
    return _open(source)
