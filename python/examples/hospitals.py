"""A federation forgets a client that leaves, and goes on.

Ten hospitals train a classifier together with Flower (its own simulation, no network) for twenty rounds; every fifth is
on record. Then one of them leaves: what came from it is forgotten in all rounds that were kept and in the current
global model, which the others then train on. At last a class is forgotten with no data at the server: from FIM cards, which
the hospitals compute where their data is.

    pip install disinherit[flower] "flwr[simulation]" torch scikit-learn
    python hospitals.py

The data are scikit-learn's digits, in unequal shares.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from disinherit import Registry
from disinherit.flower import RECORD, LineageStrategy, Network, answer, provenance
from disinherit.torch import samples

LABELS = [str(digit) for digit in range(10)]
HOSPITALS = ["north", "east", "south", "west", "hill", "lake", "river", "forest", "harbour", "valley"]
NETWORK = Network(LABELS)


class Net(nn.Module):
    """Two linear layers."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(64, 32)
        self.head = nn.Linear(32, len(LABELS))

    def forward(self, images):
        return self.head(torch.relu(self.body(images)))


def digits():
    """Images and labels: for training, and held out."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = torch.tensor(images[order] / 16, dtype=torch.float32), torch.tensor(labels[order])
    return TensorDataset(images[:1200], labels[:1200]), TensorDataset(images[1200:], labels[1200:])


def share_of(hospital, count):
    """The numbers of a hospital's samples among those for training: of four a tenth to four tenths of them."""
    weights = np.arange(count, 0, -1)
    ends = (1200 * np.cumsum([0, *weights]) / weights.sum()).round().astype(int)
    place = HOSPITALS.index(hospital)
    return range(ends[place], ends[place + 1])


def ids_of(hospital, count):
    return [f"digits/{row:04}" for row in share_of(hospital, count)]


def own(context):
    """Which hospital this is, of how many, and its samples."""
    place, count = int(context.node_config["partition-id"]), int(context.node_config["num-partitions"])
    whole, _ = digits()
    rows = list(share_of(HOSPITALS[place], count))
    return HOSPITALS[place], count, TensorDataset(whole.tensors[0][rows], whole.tensors[1][rows])


# What runs in the hospitals.

client = ClientApp()


@client.train()
def train(message: Message, context: Context) -> Message:
    hospital, count, share = own(context)
    torch.set_num_threads(1)
    net = Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    images, labels = share.tensors
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
    for _ in range(int(message.content["config"]["steps"])):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    content = RecordDict(
        {
            "arrays": ArrayRecord(net.state_dict()),
            "metrics": MetricRecord({"num-examples": len(share)}),
            # A name that stays, and what it trained on: ids, no data.
            RECORD: provenance(hospital, samples=ids_of(hospital, count)),
        }
    )
    return Message(content=content, reply_to=message)


@client.train("unlearn")
def unlearn(message: Message, context: Context) -> Message:
    """A FIM card of the model that the server sends, on this hospital's data."""
    hospital, count, share = own(context)
    torch.set_num_threads(1)
    data = samples(Net(), DataLoader(share, 64), labels=LABELS, ids=ids_of(hospital, count), name="digits")
    return answer(message, hospital, data, NETWORK)


# What runs at the server.


def accuracy(arrays, test):
    net = Net()
    net.load_state_dict({name: tensor.float() for name, tensor in arrays.to_torch_state_dict().items()})
    with torch.no_grad():
        return (net(test.tensors[0]).argmax(1) == test.tensors[1]).float().mean().item()


def named(arrays, test):
    """The share of held-out threes that are named so."""
    rows = test.tensors[1] == 3
    return accuracy(arrays, TensorDataset(test.tensors[0][rows], test.tensors[1][rows]))


def without(test, digit):
    rows = test.tensors[1] != digit
    return TensorDataset(test.tensors[0][rows], test.tensors[1][rows])


def federation(chosen, found):
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        torch.manual_seed(0)
        learnt, test = digits()
        registry = Registry.create(Path(chosen.out) / "registry")
        strategy = LineageStrategy(
            FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=1),
            registry, labels=LABELS, every=chosen.every, data="digits",
        )  # fmt: skip
        config = ConfigRecord({"steps": chosen.steps})

        # 1. The hospitals train together.
        strategy.start(grid, ArrayRecord(Net().state_dict()), chosen.rounds, train_config=config)
        found["together"] = accuracy(strategy.arrays, test)

        # 2. One leaves. Here the server has the samples; the module is any that the weights fit.
        data = samples(
            Net(), DataLoader(learnt, 64), labels=LABELS, heldout=DataLoader(test, 64), name="digits",
            ids=[sample for hospital in HOSPITALS[: chosen.hospitals] for sample in ids_of(hospital, chosen.hospitals)],
        )  # fmt: skip
        current = strategy.keep()
        found["before"] = registry.verify(data, models=current, source=chosen.leaves, progress=False)[0]
        begun = time.perf_counter()
        done = strategy.forget(data, client=chosen.leaves, progress=False, accept_loss=0.05)
        found["seconds"] = time.perf_counter() - begun
        found["edited"] = [outcome.after for outcome in done.models]
        found["retired"] = [model.model for model in done.retired]
        found["after"] = registry.verify(data, models=strategy.keep(), source=chosen.leaves, progress=False)[0]
        found["forgot"] = accuracy(strategy.arrays, test)

        # 3. The others go on.
        strategy.start(grid, strategy.arrays, chosen.more, train_config=config)
        found["afterwards"] = accuracy(strategy.arrays, test)
        graph = registry.graph()
        found["reached"] = reached(graph, strategy.keep(), chosen.leaves)
        found["models"] = len(graph.models)

        # 4. A class goes, and no data comes here: the hospitals send FIM cards.
        found["named"] = named(strategy.arrays, test)
        begun = time.perf_counter()
        done = strategy.unlearn(grid, classes=LABELS[3], progress=False)
        found["from cards"] = (len(done.models), time.perf_counter() - begun)
        found["named after"] = named(strategy.arrays, test)
        found["without data"] = accuracy(strategy.arrays, without(test, 3))

    return app


def reached(graph, model, hospital):
    """Whether on record a hospital's data reaches a model: through itself or through any ancestor."""
    trained = {each.id: {given.source for given in each.training} for each in graph.models}
    seen, ahead = set(), [model]
    while ahead:
        each = ahead.pop()
        if each not in seen:
            seen.add(each)
            ahead.extend(edge.parent for edge in graph.parents(each) if edge.relation.kind != "unlearned_from")
    return any(hospital in trained[each] for each in seen)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="hospitals", help="where the registry goes")
    parser.add_argument("--hospitals", type=int, default=10, help="how many, up to ten")
    parser.add_argument("--rounds", type=int, default=20, help="rounds before a hospital leaves")
    parser.add_argument("--more", type=int, default=3, help="rounds afterwards")
    parser.add_argument("--every", type=int, default=5, help="which rounds are kept")
    parser.add_argument("--steps", type=int, default=30, help="steps of a hospital in a round")
    parser.add_argument("--leaves", default="east", choices=HOSPITALS)
    chosen = parser.parse_args(arguments)
    found = {}
    resources = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2, "include_dashboard": False}}
    run_simulation(federation(chosen, found), client, num_supernodes=chosen.hospitals, backend_config=resources)
    print(f"{chosen.leaves} left after round {chosen.rounds}: forgotten in {len(found['edited'])} models in {found['seconds']:.1f} s")
    print(f"retired: {', '.join(found['retired'])}")
    for when in ("before", "after"):
        said = found[when].samples
        print(
            f"its samples in {found[when].model}: accuracy {said.accuracy[0]:.1%} (unseen {said.accuracy[1]:.1%}), "
            f"membership area {said.area:.1%} ({said.interval[0]:.1%} to {said.interval[1]:.1%})"
        )
    print(f"held-out accuracy: together {found['together']:.1%}, forgotten {found['forgot']:.1%}, gone on {found['afterwards']:.1%}")
    print(f"a class forgotten from cards in {found['from cards'][0]} models in {found['from cards'][1]:.1f} s")
    print(f"held-out threes: before {found['named']:.1%}, after {found['named after']:.1%}; on the others {found['without data']:.1%}")
    return found


if __name__ == "__main__":
    main()
