"""Federated learning with Flower: every round on record, so that a class or a client can be forgotten.

>>> from disinherit.flower import LineageStrategy
>>> strategy = LineageStrategy(FedAvg(), registry, labels=names, every=5)
>>> strategy.start(grid, initial_arrays=arrays, num_rounds=20)
>>> strategy.forget(data, client="hospital-2")
>>> strategy.start(grid, initial_arrays=strategy.arrays, num_rounds=5)

Clients say who they are, and on what samples they train, with :func:`provenance` in their replies.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy
from numpy.typing import NDArray

from ._arguments import Labels
from ._data import Data
from ._disinherit import DisinheritError
from ._registry import Registry
from ._tensors import TYPES
from .results import Relation, Training, Unlearned

__all__ = ["RECORD", "LineageStrategy", "provenance"]

#: The key of :func:`provenance` in a reply.
RECORD = "disinherit"

#: What strategies keep from round to round: moments of a server's optimizer, and with ``FedAvgM`` the global model itself.
_MEMORY = ("m_t", "v_t", "momentum_vector", "current_arrays")

_DTYPES = {name: np.dtype(kind) for kind, name in TYPES.items() if kind != "bfloat16"}


def provenance(
    client: str, *, samples: Optional[Iterable[str]] = None, labels: Optional[Iterable[str]] = None
) -> ConfigRecord:
    """What a client puts into its replies, under the key :data:`RECORD`.

    ``client`` is a name that stays, whereas node ids change. ``samples`` are the ids of the samples that it trained
    on, by which data finds what the client is to be forgotten with; ``labels`` those that occur among them.
    """
    said = ConfigRecord({"client": client})
    if samples is not None:
        said["samples"] = [str(sample) for sample in samples]
    if labels is not None:
        said["labels"] = [str(label) for label in labels]
    return said


@dataclass(frozen=True)
class _Reply:
    """What is known of one client's reply."""

    client: str
    training: Training
    weight: float
    arrays: Optional[ArrayRecord]


class LineageStrategy(Strategy):
    """A strategy that keeps what another one does on record.

    Of every ``every``-th round a registry gets the global model that went out (``global/0004``), each client's model
    (``hospital-2/0005``) as its child, and the new global model (``global/0005``) as the average of those. Who took
    part in rounds that are not kept is on record with the next model that is. With ``clients=False``, and for
    replies without weights (secure aggregation), the aggregate alone is kept, and who took part in it.

    ``labels`` names the head's rows and ``head`` the head, as in :meth:`disinherit.Registry.add`; ``tensors`` names
    the arrays where the records only number them; double precision is kept in single. ``data`` is the name under which what clients learnt is on record.
    A registry that has rounds already is continued.
    """

    def __init__(
        self,
        inner: Strategy,
        registry: Registry,
        *,
        labels: Sequence[str],
        head: Optional[str] = None,
        every: int = 1,
        clients: bool = True,
        tensors: Optional[Sequence[str]] = None,
        data: str = "federated",
        weighted_by_key: str = "num-examples",
    ) -> None:
        if every < 1:
            raise DisinheritError("`every=` says which rounds are kept: 1 for all of them, 2 for every second one, ...")
        self.inner = inner
        self.registry = registry
        self.labels = [str(label) for label in labels]
        self.head = head
        self.every = every
        self.clients = clients
        self.tensors = None if tensors is None else list(tensors)
        self.data = data
        self.weighted_by_key = weighted_by_key
        #: How many rounds there were, in all starts.
        self.rounds = 0
        self._offset = 0
        self._latest = 0
        self._nodes: Dict[str, Set[int]] = {}
        self._left: Set[int] = set()
        #: The last global model on record, what the current one learnt since then, and its digest.
        self._kept: Optional[str] = None
        self._since: Dict[str, Training] = {}
        self._digest = b""
        self._arrays: Optional[ArrayRecord] = None
        self._continue()

    @property
    def arrays(self) -> ArrayRecord:
        """The current global model, with the names that the clients know."""
        if self._arrays is None:
            raise DisinheritError("there is no global model yet: call `start`")
        return self._arrays

    def _continue(self) -> None:
        names = {model.name for model in self.registry.models() if model.name.startswith("global/")}
        if names:
            last = max(names)
            self.rounds = self._offset = int(last[len("global/") :])
            self._return_to(last)

    def summary(self) -> None:
        """Log the configuration of the inner strategy."""
        self.inner.summary()

    def start(self, *args: Any, **kwargs: Any) -> Result:
        """As :meth:`Strategy.start`; afterwards the global model is on record, whichever round was the last."""
        result = super().start(*args, **kwargs)
        self.keep()
        return result

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does, without clients that left; what goes out is noted first."""
        if server_round <= self._latest:
            self._offset = self.rounds
        self._latest = server_round
        digest = _digest(arrays)
        if digest != self._digest:
            # The first arrays of all, or some that were changed between rounds.
            self._arrays, self._digest = arrays, digest
            self._keep_global(f"global/{self.rounds:04}")
        elif self.clients and (self._offset + server_round) % self.every == 0:
            self.keep()
        messages = self.inner.configure_train(server_round, arrays, config, grid)
        return [message for message in messages if message.metadata.dst_node_id not in self._left]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> Tuple[Optional[ArrayRecord], Optional[MetricRecord]]:
        """As the inner strategy does; then the round is put on record."""
        received = list(replies)
        arrays, metrics = self.inner.aggregate_train(server_round, received)
        self.rounds = self._offset + server_round
        if arrays is None:
            return arrays, metrics
        seen = [self._read(message) for message in received if not message.has_error()]
        kept, number = self.rounds % self.every == 0, self.rounds
        self._arrays, self._digest = arrays, _digest(arrays)
        if kept and self.clients and seen and all(reply.arrays is not None for reply in seen):
            self._keep_round(number, seen)
        else:
            for reply in seen:
                self._since[reply.client] = _joined(self._since.get(reply.client), reply.training)
            if kept:
                self.keep()
        return arrays, metrics

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """As the inner strategy does, without clients that left."""
        messages = self.inner.configure_evaluate(server_round, arrays, config, grid)
        return [message for message in messages if message.metadata.dst_node_id not in self._left]

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> Optional[MetricRecord]:
        """As the inner strategy does."""
        return self.inner.aggregate_evaluate(server_round, replies)

    def keep(self) -> str:
        """Put the current global model on record, where it is not yet; its id."""
        if self._since:
            self._keep_global(f"global/{self.rounds:04}")
        if self._kept is None:
            raise DisinheritError("there is no global model yet: call `start`")
        return self._kept

    def forget(
        self, data: Optional[Data] = None, *, classes: Optional[Labels] = None, client: Optional[str] = None, **options: Any
    ) -> Unlearned:
        """Forget classes, or a client, in every round that is kept and in the current global model.

        A client that is forgotten takes no part any more. :attr:`arrays` is the global model to go on from. What the
        inner strategy keeps of rounds before (moments, a global model of its own) is dropped, since it remembers.
        Options are those of :meth:`disinherit.Registry.unlearn`.
        """
        if (classes is None) == (client is None):
            raise DisinheritError("say what to forget: give one of `classes=` and `client=`")
        name = self.keep().rpartition("@")[0]
        done = self.registry.unlearn(classes=classes, source=client, data=data, **options)
        if options.get("dry_run"):
            return done
        if client is not None:
            self._left |= self._nodes.get(client, set())
        self._return_to(name)
        inner: Any = self.inner
        while inner is not None:
            for kept in _MEMORY:
                if getattr(inner, kept, None) is not None:
                    setattr(inner, kept, None)
            # Strategies for differential privacy stand around another one.
            inner = getattr(inner, "strategy", None)
        return done

    def _read(self, message: Message) -> _Reply:
        """What a reply says of its client."""
        node, content = message.metadata.src_node_id, message.content
        said: Dict[str, Any] = dict(content.config_records.get(RECORD, {}))
        client = str(said.get("client", f"node-{node}"))
        if client.split("/")[0] == "global":
            raise DisinheritError("a client is called `global`, as the global models are: give it another name")
        self._nodes.setdefault(client, set()).add(node)
        weights = [record.get(self.weighted_by_key) for record in content.metric_records.values()]
        weight = next((float(value) for value in weights if isinstance(value, (int, float))), 1.0)
        training = Training(self.data, labels=said.get("labels"), samples=said.get("samples"), source=client)
        return _Reply(client, training, weight, next(iter(content.array_records.values()), None))

    def _keep_round(self, number: int, replies: Sequence[_Reply]) -> None:
        """The clients' models of a round, and the average that was made of them."""
        parent, total = str(self._kept), sum(reply.weight for reply in replies) or 1.0
        edges: Dict[str, Relation] = {}
        for reply in replies:
            model = self._add(f"{reply.client}/{number:04}", reply.arrays, {parent: Relation("fine_tune")}, [reply.training])
            edges[model] = Relation("federated_average", reply.weight / total)
        self._kept = self._add(f"global/{number:04}", self._arrays, edges, [])
        self._since = {}

    def _keep_global(self, name: str) -> None:
        """The current global model, and who it learnt from since the last one on record."""
        edges = {} if self._kept is None else {self._kept: Relation("fine_tune")}
        self._kept = self._add(name, self._arrays, edges, list(self._since.values()))
        self._since = {}

    def _add(
        self, name: str, arrays: Optional[ArrayRecord], parents: Dict[str, Relation], trained_on: Sequence[Training]
    ) -> str:
        given = {} if arrays is None else {key: _single(array.numpy()) for key, array in arrays.items()}
        if self.tensors is not None:
            if len(self.tensors) != len(given):
                raise DisinheritError(f"`tensors=` has {len(self.tensors)} names for {len(given)} arrays")
            given = dict(zip(self.tensors, given.values()))
        return self.registry.add(
            name, given, labels=self.labels, head=self.head, parents=parents, trained_on=trained_on
        )

    def _return_to(self, name: str) -> None:
        """The current version of a model on record becomes the global model."""
        current = [model for model in self.registry.models() if model.name == name and model.state == "current"]
        if not current:
            raise DisinheritError(f"nothing is left of `{name}`: it was trained on nothing but what was forgotten; start anew")
        self._kept = max(current, key=lambda model: model.version).id
        tensors = self.registry.tensors(self._kept)
        # The clients' names of the arrays, in their order.
        keys = list(self._arrays or [] if self.tensors is None else map(str, range(len(self.tensors)))) or list(tensors)
        found: Dict[str, Array] = {}
        for key, tensor in zip(keys, self.tensors or keys):
            dtype, shape, raw = tensors[tensor]
            if dtype not in _DTYPES:
                raise DisinheritError(f"`{tensor}` has the type {dtype}, which NumPy does not have")
            found[key] = Array(np.array(raw.view(_DTYPES[dtype]).reshape(shape)))
        self._arrays = ArrayRecord(found)
        self._digest, self._since = _digest(self._arrays), {}


def _joined(before: Optional[Training], more: Training) -> Training:
    """What a client trained on in several rounds."""
    if before is None:
        return more

    def both(of: Callable[[Training], Optional[List[str]]]) -> Optional[List[str]]:
        one, other = of(before), of(more)
        return None if one is None or other is None else list(dict.fromkeys([*one, *other]))

    return Training(
        more.data, labels=both(lambda part: part.labels), samples=both(lambda part: part.samples), source=more.source
    )


def _single(values: NDArray[Any]) -> NDArray[Any]:
    """Single precision for double, which averages and server optimizers leave behind: that is what can be edited."""
    return values.astype(np.float32) if values.dtype == np.float64 else values


def _digest(arrays: ArrayRecord) -> bytes:
    made = hashlib.blake2b()
    for key, array in sorted(arrays.items()):
        values: NDArray[Any] = np.ascontiguousarray(array.numpy())
        made.update(f"{key} {values.dtype} {values.shape}".encode())
        made.update(values.reshape(-1).view(np.uint8).data)
    return made.digest()
