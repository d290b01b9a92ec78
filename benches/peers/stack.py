"""What it costs to have ten MLflow versions and twenty Flower rounds on record, beside the same without.

    python benches/peers/stack.py [flower|versions] [--steps N] [--times N]

`--steps` are those of a client in a round of the federation (2); the federation runs `--times` times (3) in every
way, by turns, and the medians are told. What recording takes is the time in the strategy's methods less that in the
inner strategy's; its share is of all the rest.

A network of 190,000 parameters (0.8 MB) on scikit-learn's digits; a federation of four clients in this process, so
that nothing is counted but training, averaging and recording. Seconds are those of the processor, in which a busy
machine counts least, and then those of the clock. Needs python/requirements-stack.txt.
"""

import argparse
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2] / "python" / "tests"))
import test_flower as federation  # noqa: E402

from disinherit import Registry  # noqa: E402
from disinherit.flower import LineageStrategy  # noqa: E402
from disinherit.torch import capture, data_from  # noqa: E402

ROUNDS, VERSIONS = 20, 10


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 400), nn.ReLU(), nn.Linear(400, 400), nn.ReLU())
        self.head = nn.Linear(400, 10)

    def forward(self, images):
        return self.head(self.body(images))


def bytes_in(folder):
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def timed(what):
    begun, started = time.process_time(), time.perf_counter()
    made = what()
    return time.process_time() - begun, time.perf_counter() - started, made


class Clock:
    """The processor's time in some methods of a strategy; of one that calls another, the outer one's."""

    def __init__(self, strategy):
        self.spent, self.within = 0.0, False
        for name in ["configure_train", "aggregate_train", "configure_evaluate", "keep"]:
            if hasattr(strategy, name):
                setattr(strategy, name, self.around(getattr(strategy, name)))

    def around(self, method):
        def timed_method(*arguments, **named):
            if self.within:
                return method(*arguments, **named)
            self.within, begun = True, time.process_time()
            try:
                return method(*arguments, **named)
            finally:
                self.within = False
                self.spent += time.process_time() - begun

        return timed_method


def flower(steps, times):
    federation.app.Net = Net
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1
    torch.manual_seed(0)
    arrays, config = ArrayRecord(Net().state_dict()), ConfigRecord({"steps": steps})
    ways = {
        "FedAvg alone": None,
        "every round": {"every": 1},
        "every 5th round": {"every": 5},
        "every round, aggregates alone": {"every": 1, "clients": False},
    }
    # What a first call costs is none of it.
    federation.averaging().start(federation.Here(), arrays, 2, train_config=config)
    seen = {way: [] for way in ways}
    for _ in range(times):
        for way, options in ways.items():
            with tempfile.TemporaryDirectory() as place:
                inner = strategy = federation.averaging()
                models, recording = 0, 0.0
                if options is not None:
                    registry = Registry.create(place)
                    strategy = LineageStrategy(inner, registry, labels=federation.app.LABELS, data="digits", **options)
                    clocks = [Clock(inner), Clock(strategy)]
                took, waited, _ = timed(lambda: strategy.start(federation.Here(), arrays, ROUNDS, train_config=config))
                if options is not None:
                    models = len(registry.models())
                    recording = clocks[1].spent - clocks[0].spent
                files = sum(file.is_file() for file in Path(place).rglob("*"))
                seen[way].append((took, recording, recording / (took - recording), waited, bytes_in(place), files, models))
    print("                                          processor  recording         share   clock        bytes   files models")
    for way, runs in seen.items():
        took, recording, share, waited, size, files, models = (statistics.median(column) for column in zip(*runs))
        print(
            f"{ROUNDS} rounds, {way:30} {took:7.2f} s {recording:7.2f} s {share:13.1%} {waited:7.2f} s "
            f"{size / 1e6:8.1f} MB {files:6.0f} {models:6.0f}"
        )


def versions(_, __):
    import mlflow

    from disinherit.mlflow import pull, push

    with tempfile.TemporaryDirectory() as place:
        server = f"sqlite:///{place}/mlflow.db"
        mlflow.set_tracking_uri(server)
        mlflow.create_experiment("family", artifact_location=Path(place, "files").as_uri())
        mlflow.set_experiment("family")
        learnt, test = federation.app.digits()
        labels = '["' + '","'.join(federation.app.LABELS) + '"]'

        def log():
            net, nets, parent = Net(), {}, None
            for number in range(1, VERSIONS + 1):
                optimizer = torch.optim.SGD(net.parameters(), lr=0.3)
                for _ in range(100 if number == 1 else 10):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(net(learnt.tensors[0]), learnt.tensors[1]).backward()
                    optimizer.step()
                tags = {"disinherit.labels": labels, "disinherit.trained_on": "digits"}
                if parent is not None:
                    tags["disinherit.parents"] = parent
                with mlflow.start_run(tags=tags):
                    mlflow.pytorch.log_model(
                        net, name="net", registered_model_name="net", serialization_format="pickle", pip_requirements=["torch"]
                    )
                parent = f"net/{number}"
                nets[parent] = Net()
                nets[parent].load_state_dict(net.state_dict())
            return nets

        took, _, nets = timed(log)
        print(f"{VERSIONS} versions, trained and logged in MLflow   {took:7.2f} s {bytes_in(Path(place, 'files')) / 1e6:8.1f} MB")
        registry = Registry.create(Path(place, "registry"))
        took, _, done = timed(lambda: pull(server, registry))
        assert len(done.added) == VERSIONS, done
        print(f"pulled                                    {took:7.2f} s {bytes_in(Path(place, 'registry')) / 1e6:8.1f} MB")
        took, _, done = timed(lambda: pull(server, registry))
        assert done.known == VERSIONS
        print(f"pulled again, nothing new                 {took:7.2f} s")
        loader = torch.utils.data.DataLoader(learnt, 256)
        heldout = torch.utils.data.DataLoader(test, 256)
        data = data_from(
            {name: capture(net, loader, labels=federation.app.LABELS, heldout=heldout) for name, net in nets.items()}, "digits"
        )
        took, _, _ = timed(lambda: registry.unlearn(classes="3", data=data, progress=False))
        print(f"one class forgotten in all ten            {took:7.2f} s {bytes_in(Path(place, 'registry')) / 1e6:8.1f} MB")
        verdicts = registry.verify(data, progress=False)
        took, _, done = timed(lambda: push(server, registry, verdicts=verdicts))
        assert len(done.versions) == VERSIONS
        print(f"pushed                                    {took:7.2f} s {bytes_in(Path(place, 'files')) / 1e6:8.1f} MB")


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["flower", "versions"])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    chosen = parser.parse_args()
    for part in chosen.parts:
        {"flower": flower, "versions": versions}[part](chosen.steps, chosen.times)
