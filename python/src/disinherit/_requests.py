"""Requests to forget, and their plans; public as :mod:`disinherit.results`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ._record import Record


@dataclass(frozen=True)
class Request(Record):
    """What must be forgotten: one of classes, a source and samples."""

    classes: Optional[List[str]] = None
    source: Optional[str] = None
    samples: Optional[List[str]] = None
    #: The initial models that were named; without any, provenance tells.
    initial: List[str] = field(default_factory=list)


@dataclass(frozen=True)
class Task(Record):
    """A piece of work.

    ``card`` computes a model's own FIM card, ``forget_fisher`` the Fisher information of the forget data on an
    initial model, ``edit`` merges, selects and dampens in one model, ``retire`` takes a model out of use that was
    trained on nothing but the forget data.
    """

    kind: str
    model: str
    #: The initial models whose FIMs are merged, for an edit.
    initial: List[str]
    #: What is read: ``card``, ``training_data``, ``forget_data``; for an edit nothing but what is there, or
    #: ``training_data`` where it goes below the head.
    reads: Optional[str]
    #: The version whose card an edit uses in place of one of its own.
    fallback_card: Optional[str]


@dataclass(frozen=True)
class Stage(Record):
    """Tasks that may all run at the same time."""

    purpose: str
    tasks: List[Task]


@dataclass(frozen=True)
class Shard(Record):
    """The part of a plan that one of several processes does: :meth:`disinherit.Registry.unlearn_shard`."""

    #: ``3/40`` is the third of forty.
    shard: str
    models: List[str]
    #: Bytes of weights that its tasks read, once for each sample that they are run on.
    cost: int


@dataclass(frozen=True)
class ShardDone(Record):
    """What a process did of a request that several work on. Nothing of it is published yet."""

    request: str
    #: ``3/40`` is the third of forty.
    shard: str
    #: The models of this shard; the edits of all of them are kept for the process that publishes.
    models: List[str]
    #: How many of them this process edited.
    edited: int
    #: How many were finished already.
    taken_up: int
    seconds: float


@dataclass(frozen=True)
class Plan(Record):
    """Which models a request touches, and the work that it means."""

    request: Request
    #: ``initial`` or ``inherited``, for each touched model.
    roles: Dict[str, str]
    #: To be run one after the other.
    stages: List[Stage]
    #: How the work falls to several processes, where that was asked for.
    shards: List[Shard] = field(default_factory=list)

    @property
    def training_data(self) -> List[str]:
        """Models whose training data is read: without a FIM card for these layers, or whose features are edited."""
        return list(dict.fromkeys(task.model for task in self._tasks() if task.reads == "training_data"))

    @property
    def forget_data(self) -> List[str]:
        """Initial models that the forget data is run through."""
        return [task.model for task in self._tasks() if task.reads == "forget_data"]

    @property
    def fallback_cards(self) -> Dict[str, str]:
        """Models without a card of their own, with the version whose card is used instead."""
        return {task.model: task.fallback_card for task in self._tasks() if task.fallback_card is not None}

    @property
    def initial(self) -> List[str]:
        """The models that the forget data came in through."""
        return [model for model, role in self.roles.items() if role == "initial"]

    @property
    def inherited(self) -> List[str]:
        """The models that descend from those."""
        return [model for model, role in self.roles.items() if role == "inherited"]

    @property
    def retired(self) -> List[str]:
        """The models that would be taken out of use."""
        return [task.model for task in self._tasks() if task.kind == "retire"]

    def _tasks(self) -> List[Task]:
        return [task for stage in self.stages for task in stage.tasks]
