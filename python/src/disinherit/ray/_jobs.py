"""Jobs of the catalog on a cluster: what a worker has others do."""

from __future__ import annotations

import os
from typing import List, Optional

from .._arguments import Bar, PathLike
from .._data import Data
from .._disinherit import JobWatch, Worker, shards_of_run
from .._registry import Registry
from ._cluster import Cluster
from ._tasks import Part, Source, Work, inner, pieces


class JobCluster:
    """Executes the parts of jobs: the edits of a run, the verdicts of a verification. All else, the worker does."""

    def __init__(self, cluster: Cluster, place: PathLike, source: Source, data: Optional[Data], bar: Bar) -> None:
        self.cluster, self.place, self.source = cluster, os.fspath(place), source
        self.registry, self.data, self.bar = Registry(place), data, bar

    def worker(self) -> Worker:
        """The worker that takes the jobs."""
        return Worker(self.registry._inner, inner(self.data), self.bar, self)

    def edit(self, request: int, watch: JobWatch) -> None:
        """Edit the models of a request that the worker runs: shard by shard, as drafts that it publishes."""
        shards = shards_of_run(self.registry._inner, request, inner(self.data), self.cluster.pieces())
        parts = [Part(each.shard, len(each.models)) for each in shards if each.models]
        self.cluster.run(Work("edit", self.place, self.source, {"request": request}), parts, watch)

    def judge(self, request: int, models: List[str], watch: JobWatch) -> List[bytes]:
        """The verdicts on models, in their order, as documents that the worker reads."""
        work = Work("judge", self.place, self.source, {"request": request, "bar": self.bar})
        _, verdicts = self.cluster.run(work, pieces(models, self.cluster.pieces()), watch)
        return verdicts
