"""Who executes the parts of a task, and how often it is tried."""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, Generic, List, Mapping, Optional, Sequence, Tuple, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError, RuntimeEnvSetupError, TaskCancelledError, TaskUnschedulableError

import disinherit

from .._arguments import progress_bars
from .._disinherit import Conflict, Damaged, DisinheritError, JobWatch, dispatch_parts
from .._record import Record
from .._workers import EndedAttempt
from ._tasks import Part, Work, Told, execute

_T = TypeVar("_T")
_log = logging.getLogger("disinherit.ray")

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


@dataclass
class Cluster:
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
    ) -> Cluster:
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

    def run(
        self, work: Work, parts: Sequence[Part], watch: Optional[JobWatch] = None
    ) -> Tuple[List[ShardRun], List[Any]]:
        """Execute all parts; what each gave, in their order, and all attempts. Of a job, ``watch`` hears how far it is
        and says when to stop."""
        make = progress_bars(self.progress) if watch is None else functools.partial(_Said, watch)
        models = sum(part.models for part in parts)
        bar = None if make is None else make(f"{work.kind} by {self.workers()} workers", models)

        def done(part: Part) -> None:
            if bar is not None:
                bar.update(part.models)

        execution = _Execution(self, work, parts, done, watch)
        try:
            values = execution.all()
        finally:
            if bar is not None:
                bar.close()
        return execution.runs, values


class _Said:
    """A progress bar that a job says."""

    def __init__(self, watch: JobWatch, title: str, total: int) -> None:
        watch.begin(title, total)
        self.update = watch.advance

    def close(self) -> None:
        pass


class JobStopped(DisinheritError):
    """A job that was asked to stop."""


class _Execution:
    """The tasks of some work on the cluster; who tries what again, and when it is over, is said by the engine."""

    def __init__(
        self,
        cluster: Cluster,
        work: Work,
        parts: Sequence[Part],
        done: Callable[[Part], None],
        watch: Optional[JobWatch],
    ) -> None:
        self.cluster, self.work, self.done, self.watch = cluster, work, done, watch
        self.parts = {part.shard: part for part in parts}
        self.task = ray.remote(execute)
        self.running: Dict[Any, Tuple[str, int, float]] = {}
        self.ended: Dict[Tuple[str, int], Tuple[Told, float]] = {}
        self.runs: List[ShardRun] = []

    def all(self) -> List[Any]:
        """What each part gave, in their order."""
        tasks = [(part.shard, part.models) for part in self.parts.values()]
        return dispatch_parts(self, tasks, self.cluster.max_retries, self._heard, self._gave_up)

    def room(self) -> int:
        # Without a number Ray is given all of them: it runs what there is room for, and makes more room where it can.
        return self.cluster.num_workers or len(self.parts)

    def submit(self, shard: str, models: int, attempt: int) -> None:
        task = self.task.options(**self.cluster.remote_args, name=f"disinherit {self.work.kind} {shard}")
        reference = task.remote(disinherit.__version__, self.work, self.parts[shard])
        self.running[reference] = (shard, attempt, time.monotonic())

    def wait(self) -> List[EndedAttempt]:
        if self.watch is not None and self.watch.stopped:
            raise JobStopped("the job was asked to stop")
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
        where = f"{self.work.kind} {shard} on {told.node or 'a machine that is gone'}"
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


def _told(reference: Any) -> Told:
    """What became of a task: its own words, or Ray's."""
    try:
        told: Told = ray.get(reference)
        return told
    except RayTaskError as error:
        # The task itself tells its failures: this one did not get as far, for want of the package for instance.
        return Told(None, f"the task cannot be run there: {error.cause}", error=error)
    except (RuntimeEnvSetupError, TaskUnschedulableError, TaskCancelledError) as error:
        return Told(None, str(error), error=error)
    except RayError as error:
        return Told(None, f"{type(error).__name__}: {str(error).splitlines()[0]}", error=error, died=True)
