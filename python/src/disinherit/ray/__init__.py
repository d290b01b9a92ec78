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

import inspect
import logging
import os
from typing import Any, Callable, List, Mapping, Optional

from .._arguments import Labels, PathLike, listed
from .._disinherit import DisinheritError
from .._registry import Registry
from ..results import Unlearned, Verdict
from ._cluster import Cluster, Distributed, ShardFailed, ShardRun
from ._tasks import DataSource, Part, Work, VersionsDiffer, open_data, pieces, source_of

__all__ = ["DataSource", "Distributed", "ShardFailed", "ShardRun", "VersionsDiffer", "fisher", "unlearn", "verify"]

_log = logging.getLogger(__name__)


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
    cluster = Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    place, opened = Registry(registry), open_data(source_of(data))
    known = inspect.signature(Registry.plan).parameters
    asked = {name: value for name, value in request.items() if name in known}
    plan = place.plan(data=opened, shards=shards or cluster.pieces(), **asked)
    parts = [Part(each.shard, len(each.models)) for each in plan.shards if each.models]
    runs, _ = cluster.run(Work("unlearn", os.fspath(registry), source_of(data), request), parts)
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
    cluster = Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    known = [model.id for model in Registry(registry).models() if model.state == "current"]
    parts = pieces(listed(models) or known, shards or cluster.pieces())
    runs, made = cluster.run(Work("fisher", os.fspath(registry), source_of(data), options), parts)
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
    cluster = Cluster.of(address, num_workers, ray_remote_args, max_retries, progress)
    parts = pieces(listed(models) or _last(Registry(registry)), shards or cluster.pieces())
    runs, verdicts = cluster.run(Work("verify", os.fspath(registry), source_of(data), request), parts)
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
