"""A strategy that keeps what another one does on record, and forgets in all of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from .._arguments import Checkpoint, Labels
from .._data import Data
from .._disinherit import DisinheritError, merge_cards
from .._registry import Registry
from .._tensors import TYPES
from ..results import Relation, Training, Unlearned
from ._records import ASKED, RECORD, Network, cards_in

#: What strategies keep from round to round: moments of a server's optimizer, and with ``FedAvgM`` the global model itself.
_MEMORY = ("m_t", "v_t", "momentum_vector", "current_arrays")

#: The names of global models, by the number of their round.
_GLOBAL = re.compile(r"global/(\d+)")

_DTYPES = {name: np.dtype(kind) for kind, name in TYPES.items() if kind != "bfloat16"}


@dataclass(frozen=True)
class _Reply:
    """What is known of one client's reply."""

    client: str
    training: Training
    weight: float
    arrays: Optional[ArrayRecord]
    #: FIM cards on its data: of what it trained, and of what it received.
    trained: List[bytes]
    received: List[bytes]


class LineageStrategy(Strategy):
    """A strategy that keeps what another one does on record.

    Of every ``every``-th round a registry gets the global model that went out (``global/0004``), each client's model
    (``hospital-2/0005``) as its child, and the new global model (``global/0005``) as the average of those. Who took
    part in rounds that are not kept is on record with the next model that is. With ``clients=False``, and for
    replies without weights (secure aggregation), the aggregate alone is kept, and who took part in it.

    ``labels``, ``head``, ``tensors``, ``architecture`` and ``input`` are those of :class:`Network`; double precision is
    kept in single. ``data`` is the name under which what clients learnt is on record. A registry that has rounds already
    is continued. FIM cards that come with replies (:func:`cards`) are kept with the models that they are of; of those of a
    global model one is made.
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
        architecture: Optional[str] = None,
        input: Optional[Tuple[int, int, int]] = None,
        data: str = "federated",
        weighted_by_key: str = "num-examples",
    ) -> None:
        if every < 1:
            raise DisinheritError("`every=` says which rounds are kept: 1 for all of them, 2 for every second one, ...")
        self.inner = inner
        self.registry = registry
        self.network = Network([str(label) for label in labels], head, tensors, architecture, input)
        self.every = every
        self.clients = clients
        self.data = data
        self.weighted_by_key = weighted_by_key
        #: How many rounds there were, in all starts.
        self.rounds = 0
        self._offset = 0
        self._latest = 0
        self._nodes: Dict[str, Set[int]] = {}
        #: Clients that were forgotten, by their names: their nodes have other ids in another run.
        self._left: Set[str] = set()
        #: The last global model on record, what the current one learnt since then, and what its arrays hold.
        self._kept: Optional[str] = None
        self._since: Dict[str, Training] = {}
        self._held: Optional[_Held] = None
        self._went_out = False
        self._arrays: Optional[ArrayRecord] = None
        self._continue()

    @property
    def arrays(self) -> ArrayRecord:
        """The current global model, with the names that the clients know."""
        if self._arrays is None:
            raise DisinheritError("there is no global model yet: call `start`")
        return self._arrays

    def _continue(self) -> None:
        self._left = _forgotten(self.registry)
        found = (_GLOBAL.fullmatch(model.name) for model in self.registry.models())
        rounds = {int(name[1]): name[0] for name in found if name}
        if rounds:
            self.rounds = self._offset = max(rounds)
            self._return_to(rounds[self.rounds])

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
        held = _held(arrays)
        if held != self._held:
            # The first arrays of all, or some that were changed between rounds.
            self._arrays, self._held = arrays, held
            self._keep_global(f"global/{self.rounds:04}")
        elif self.clients and (self._offset + server_round) % self.every == 0:
            self.keep()
        #: Whether what goes out is on record.
        self._went_out = not self._since
        return self._to_those_left(self.inner.configure_train(server_round, arrays, config, grid))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> Tuple[Optional[ArrayRecord], Optional[MetricRecord]]:
        """As the inner strategy does, without replies of clients that left; then the round is put on record."""
        received = [message for message in replies if not self._has_left(message)]
        arrays, metrics = self.inner.aggregate_train(server_round, received)
        self.rounds = self._offset + server_round
        if arrays is None:
            return arrays, metrics
        seen = [self._read(message) for message in received if not message.has_error()]
        kept, number = self.rounds % self.every == 0, self.rounds
        if self._kept is not None and self._went_out:
            self._keep_cards(self._kept, [(reply.client, card) for reply in seen for card in reply.received])
        self._arrays, self._held = arrays, _held(arrays)
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
        return self._to_those_left(self.inner.configure_evaluate(server_round, arrays, config, grid))

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

        A client that is forgotten takes no part any more, also when training is started again. :attr:`arrays` is the global model to go on from. What the
        inner strategy keeps of rounds before (moments, a global model of its own) is dropped, since it remembers.
        Options are those of :meth:`disinherit.Registry.unlearn`.
        """
        _check_asked(classes, client)
        name = self.keep().rpartition("@")[0]
        done = self.registry.unlearn(classes=classes, source=client, data=data, **options)
        if options.get("dry_run"):
            return done
        if client is not None:
            self._left.add(client)
        self._return_to(name)
        inner: Any = self.inner
        while inner is not None:
            for kept in _MEMORY:
                if getattr(inner, kept, None) is not None:
                    setattr(inner, kept, None)
            # Strategies for differential privacy stand around another one.
            inner = getattr(inner, "strategy", None)
        return done

    def unlearn(
        self,
        grid: Grid,
        *,
        classes: Optional[Labels] = None,
        client: Optional[str] = None,
        timeout: Optional[float] = None,
        **options: Any,
    ) -> Unlearned:
        """Forget as :meth:`forget` does, where no data comes to the server: from FIM cards.

        Clients are asked, by a message of the type ``train.unlearn``, for the cards of models that have none yet;
        :func:`answer` is their reply. Of the cards of a global model one is made. A client's own
        models are asked of that client alone, and so is its part of global models that it trained among others; one that does not reply in ``timeout`` seconds is an error, and nothing is
        forgotten then.
        """
        _check_asked(classes, client)
        self.keep()
        # From cards: what there is data for would be matched.
        plan = self.registry.plan(classes=classes, source=client, method="fiun")
        for model in plan.training_data:
            self._ask(grid, model, timeout, client)
        if client is not None:
            # Of models that others trained too, what is of this client alone.
            plan = self.registry.plan(source=client, method="fiun")
            for model in plan.forget_data:
                self._ask(grid, model, timeout, client, part=True)
        return self.forget(classes=classes, client=client, **options)

    def _ask(
        self, grid: Grid, model: str, timeout: Optional[float], leaving: Optional[str], part: bool = False
    ) -> None:
        """Have clients compute the card of a model on record, or its ``part`` of the client that leaves."""
        name = model.rpartition("@")[0]
        owner = "" if _GLOBAL.fullmatch(name) else name.rpartition("/")[0]
        if part and leaving is not None:
            owner = leaving
        nodes = self._nodes.get(owner) or set(grid.get_node_ids()) - self._nodes_left()
        arrays = self._record_of(model)
        asked = ConfigRecord({"client": owner, "model": model})
        messages = [
            Message(RecordDict({"arrays": arrays, ASKED: asked}), dst_node_id=node, message_type="train.unlearn")
            for node in sorted(nodes)
        ]
        received = list(grid.send_and_receive(messages, timeout=timeout))
        replies = [reply for reply in received if not self._has_left(reply)]
        failed = [str(reply.error.reason) for reply in replies if reply.has_error()]
        silent = len(messages) - len(received)
        answers = [reply for reply in replies if not reply.has_error()]
        cards = [(_client_of(reply), card) for reply in answers for card in cards_in(reply.content, "received")]
        if failed or silent or not cards:
            why = "; ".join([*failed[:3], *([f"{silent} did not reply"] if silent else [])]) or "none sent one"
            raise DisinheritError(f"of {len(messages)} clients that were asked for the FIM card of `{model}` not all sent it: {why}")
        if part:
            self.registry.import_card(merge_cards([card for _, card in cards]), model=model, source=leaving)
        else:
            self._keep_cards(model, cards, leaving)

    def _nodes_left(self) -> Set[int]:
        """The nodes, as far as they are known, of clients that left."""
        return {node for client in self._left for node in self._nodes.get(client, ())}

    def _to_those_left(self, messages: Iterable[Message]) -> List[Message]:
        """Messages without those to clients that left."""
        gone = self._nodes_left()
        return [message for message in messages if message.metadata.dst_node_id not in gone]

    def _has_left(self, message: Message) -> bool:
        """Whether a reply is of a client that left; then its node, which may be new, is known from now on."""
        node = message.metadata.src_node_id
        if message.has_error():
            return node in self._nodes_left()
        client = _client_of(message)
        if client not in self._left:
            return False
        self._nodes.setdefault(client, set()).add(node)
        return True

    def _read(self, message: Message) -> _Reply:
        """What a reply says of its client."""
        node, content = message.metadata.src_node_id, message.content
        said: Dict[str, Any] = dict(content.config_records.get(RECORD, {}))
        client = _client_of(message)
        if client.split("/")[0] == "global":
            raise DisinheritError("a client is called `global`, as the global models are: give it another name")
        self._nodes.setdefault(client, set()).add(node)
        weights = [record.get(self.weighted_by_key) for record in content.metric_records.values()]
        weight = next((float(value) for value in weights if isinstance(value, (int, float))), 1.0)
        training = Training(self.data, labels=said.get("labels"), samples=said.get("samples"), source=client)
        arrays = next(iter(content.array_records.values()), None)
        own, received = cards_in(content, "trained"), cards_in(content, "received")
        return _Reply(client, training, weight, arrays, own, received)

    def _keep_round(self, number: int, replies: Sequence[_Reply]) -> None:
        """The clients' models of a round, and the average that was made of them."""
        went_out, total = {str(self._kept): Relation("fine_tune")}, sum(reply.weight for reply in replies) or 1.0
        shares = [Relation("federated_average", reply.weight / total) for reply in replies]
        models = [
            self.network.checkpoint(f"{reply.client}/{number:04}", reply.arrays, went_out, [reply.training])
            for reply in replies
        ]
        names, ids = [model.name for model in models], []
        if len(set(names)) < len(names):
            # Of several nodes by one name each has a version of its own, which has no name before it is on record.
            names = ids = self.registry.add_all(models)
            models = []
        average = self.network.checkpoint(f"global/{number:04}", self._arrays, dict(zip(names, shares)), [])
        *added, self._kept = self.registry.add_all([*models, average])
        self._since = {}
        for model, reply in zip(ids or added, replies):
            if reply.trained:
                self.registry.import_card(merge_cards(reply.trained), model=model)

    def _keep_global(self, name: str) -> None:
        """The current global model, and who it learnt from since the last one on record."""
        edges = {} if self._kept is None else {self._kept: Relation("fine_tune")}
        model = self.network.checkpoint(name, self._arrays, edges, list(self._since.values()))
        [self._kept] = self.registry.add_all([model])
        self._since = {}

    def _keep_cards(self, model: str, cards: Sequence[Tuple[str, bytes]], leaving: Optional[str] = None) -> None:
        """The card of a model on record, from those of clients on their data.

        A model that several of them trained keeps each client's part too, by which that client can be forgotten; under
        ``clients=False`` only that of a client that leaves.
        """
        if not cards:
            return
        self.registry.import_card(merge_cards([card for _, card in cards]), model=model)
        trained = {training.source for training in self.registry.show(model).model.training}
        parts: Dict[str, List[bytes]] = {}
        for client, card in cards:
            if client in trained and (self.clients or client == leaving):
                parts.setdefault(client, []).append(card)
        for client, own in parts.items() if len(trained) > 1 else ():
            self.registry.import_card(merge_cards(own), model=model, source=client)

    def _return_to(self, name: str) -> None:
        """The current version of a model on record becomes the global model."""
        current = [model for model in self.registry.models() if model.name == name and model.state == "current"]
        if not current:
            raise DisinheritError(f"nothing is left of `{name}`: it was trained on nothing but what was forgotten; start anew")
        self._kept = max(current, key=lambda model: model.version).id
        self._arrays = self._record_of(self._kept)
        self._held, self._since = _held(self._arrays), {}

    def _record_of(self, model: str) -> ArrayRecord:
        """A model on record, by the clients' names of the arrays, in their order."""
        tensors, names = self.registry.tensors(model), self.network.tensors
        keys = list(self._arrays or [] if names is None else map(str, range(len(names)))) or list(tensors)
        found: Dict[str, Array] = {}
        for key, tensor in zip(keys, names or keys):
            dtype, shape, raw = tensors[tensor]
            if dtype not in _DTYPES:
                raise DisinheritError(f"`{tensor}` has the type {dtype}, which NumPy does not have")
            found[key] = Array(np.array(raw.view(_DTYPES[dtype]).reshape(shape)))
        return ArrayRecord(found)


def _check_asked(classes: Optional[Labels], client: Optional[str]) -> None:
    if (classes is None) == (client is None):
        raise DisinheritError("say what to forget: give one of `classes=` and `client=`")


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


def _client_of(message: Message) -> str:
    """The name by which a reply says whose it is."""
    said: Dict[str, Any] = dict(message.content.config_records.get(RECORD, {}))
    return str(said.get("client", f"node-{message.metadata.src_node_id}"))


def _forgotten(registry: Registry) -> Set[str]:
    """The clients that requests on record have forgotten, but for requests that were taken back."""
    log = registry.log()
    undone = {entry.detail["undoes"] for entry in log if entry.command == "undo"}
    done = [entry.detail for entry in log if entry.command == "unlearn" and entry.id not in undone]
    # A later version may have other details.
    asked = [detail.get("request", {}).get("forget", {}) for detail in done]
    return {forget["source"] for forget in asked if "source" in forget}


#: What arrays hold, by their names. They may be changed where they are; bytes are not.
_Held = Dict[str, Tuple[str, Tuple[int, ...], bytes]]


def _held(arrays: ArrayRecord) -> _Held:
    """What arrays hold: to compare it takes no time as long as the bytes are the very same."""
    return {key: (array.dtype, array.shape, array.data) for key, array in arrays.items()}
