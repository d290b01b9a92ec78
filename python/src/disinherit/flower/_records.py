"""What clients put into their replies: who they are, what they trained on, FIM cards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from numpy.typing import NDArray

from .._arguments import Checkpoint
from .._data import Data
from .._disinherit import DisinheritError
from .._registry import Registry
from ..results import Relation, Training

#: The key of :func:`provenance` in a reply.
RECORD = "disinherit"

#: The key of :func:`cards` in a reply.
CARDS = "disinherit.cards"

#: The key of what a server asks for a card of.
ASKED = "disinherit.asked"


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
class Network:
    """What is known of the network that is trained; the same for the server and its clients.

    ``labels`` names the head's rows and ``head`` the head, as in :meth:`disinherit.Registry.add`; ``tensors`` names the
    arrays where records only number them. With ``architecture`` (and ``input``), for networks that the engine knows, FIM
    cards keep activation statistics too, so that features forget without data.
    """

    labels: Sequence[str]
    head: Optional[str] = None
    tensors: Optional[Sequence[str]] = None
    architecture: Optional[str] = None
    input: Optional[Tuple[int, int, int]] = None

    def checkpoint(
        self,
        name: str,
        arrays: Optional[ArrayRecord],
        parents: Mapping[str, Relation],
        trained_on: Sequence[Training],
    ) -> Checkpoint:
        """Arrays as a model for :meth:`disinherit.Registry.add_all`."""
        given = {} if arrays is None else {key: _single(array.numpy()) for key, array in arrays.items()}
        if self.tensors is not None:
            if len(self.tensors) != len(given):
                raise DisinheritError(f"`tensors=` has {len(self.tensors)} names for {len(given)} arrays")
            given = dict(zip(self.tensors, given.values()))
        return Checkpoint(
            name,
            given,
            labels=[str(label) for label in self.labels],
            head=self.head,
            architecture=self.architecture,
            input=self.input,
            parents=dict(parents),
            trained_on=list(trained_on),
        )


def card(arrays: ArrayRecord, data: Data, network: Network) -> bytes:
    """The FIM card of a model on a client's data: what a server needs to forget without that data.

    ``data`` are the client's samples, :func:`disinherit.torch.samples` for instance. A card has squared gradients of the
    head for each class together, and for networks that the engine knows activation statistics; no sample is in it.
    """
    registry = Registry.memory()
    [model] = registry.add_all([network.checkpoint("model", arrays, {}, [Training(data.name)])])
    registry.fisher(model, data, progress=False)
    made = registry.card(model)
    if made is None:
        raise DisinheritError(f"of none of the samples in `{data.name}` a FIM card can be computed")
    return made


def cards(*, trained: Optional[bytes] = None, received: Optional[bytes] = None) -> ConfigRecord:
    """What a client puts into its replies, under the key :data:`CARDS`.

    The cards of the model that it ``trained`` and of the global model that it ``received``, both on its own data.
    """
    said: Dict[str, Any] = {"trained": trained, "received": received}
    return ConfigRecord({key: value for key, value in said.items() if value is not None})


def answer(message: Message, client: str, data: Data, network: Network) -> Message:
    """A client's reply to ``train.unlearn``: a card of the model that the server asks for, on the client's data.

    >>> @app.train("unlearn")
    ... def unlearn(message, context):
    ...     return answer(message, "hospital-2", data, network)
    """
    asked = message.content.config_records.get(ASKED)
    if asked is None:
        raise DisinheritError("this is no message of `LineageStrategy.unlearn`: it does not say whose card it asks for")
    content = RecordDict({RECORD: provenance(client)})
    if asked["client"] in ("", client):
        arrays = next(iter(message.content.array_records.values()))
        content[CARDS] = cards(received=card(arrays, data, network))
    return Message(content, reply_to=message)


def cards_in(content: RecordDict, kind: str) -> List[bytes]:
    """The cards of a kind in a reply: one or none."""
    record = content.config_records.get(CARDS)
    found = None if record is None else record.get(kind)
    return [found] if isinstance(found, bytes) else []


def _single(values: NDArray[Any]) -> NDArray[Any]:
    """Single precision for double, which averages and server optimizers leave behind: that is what can be edited."""
    return values.astype(np.float32) if values.dtype == np.float64 else values
