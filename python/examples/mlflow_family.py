"""Models that an MLflow server keeps forget a class, and go back to it.

A base classifier and two that were trained on from it are logged and registered as anybody's training does it. Their
versions and lineage come into a registry, forget one digit, and go back as new versions; the alias moves, and the files of the
old versions are deleted.

    pip install disinherit[mlflow,torch]
    mlflow server &                                              # or any server of yours
    python mlflow_family.py --server http://localhost:5000

Without ``--server`` MLflow keeps everything in a folder.
"""

import argparse
import copy
from pathlib import Path

import mlflow
import torch
from mlflow.entities import LoggedModelInput
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from disinherit import Registry
from disinherit.mlflow import pull, purge, push
from disinherit.torch import capture, data_from

LABELS = [str(digit) for digit in range(10)]
NAME = "digits"


def digits():
    """For training, and held out."""
    images, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    images, labels = torch.tensor(images, dtype=torch.float32)[order] / 16, torch.tensor(labels)[order]
    return TensorDataset(images[:1200], labels[:1200]), TensorDataset(images[1200:], labels[1200:])


def train(net, data, steps):
    images, labels = data.tensors
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
    return net


def log(net, learnt, experiment, parent=None):
    """What anybody's training logs: the data set, the model that it went on from, and the new one."""
    images = learnt.tensors[0].numpy()
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.set_tag("disinherit.labels", str(LABELS).replace("'", '"'))
        mlflow.log_input(mlflow.data.from_numpy(images, name="digits"), context="training")
        if parent is not None:
            mlflow.MlflowClient().log_inputs(run.info.run_id, models=[LoggedModelInput(parent)])
        info = mlflow.pytorch.log_model(
            net, name=NAME, registered_model_name=NAME, input_example=images[:4], serialization_format="pt2",
            pip_requirements=["torch"],
        )  # fmt: skip
    return info


def accuracy(uri, data, digit):
    net, (images, labels) = mlflow.pytorch.load_model(uri), data.tensors
    with torch.no_grad():
        right = (net(images).argmax(1) == labels).float()
    return right[labels == digit].mean().item(), right[labels != digit].mean().item()


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", help="the address of an MLflow server")
    parser.add_argument("--out", default="mlflow_family", help="where the registry goes")
    parser.add_argument("--forget", type=int, default=3, choices=range(10))
    chosen = parser.parse_args(arguments)
    out = Path(chosen.out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    server = chosen.server or f"sqlite:///{out}/mlflow.db"
    mlflow.set_tracking_uri(server)
    place = (out / "files").as_uri() if chosen.server is None else None
    experiment = mlflow.create_experiment(f"family in {out}", artifact_location=place)
    learnt, test = digits()

    # 1. A family of models, as anybody's training leaves it on the server.
    torch.manual_seed(0)
    base = train(nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), learnt, 200)
    first = log(base, learnt, experiment)
    nets = {f"{NAME}/1": base}
    for steps in (20, 40):
        net = train(copy.deepcopy(base), learnt, steps)
        info = log(net, learnt, experiment, first.model_id)
        nets[f"{NAME}/{info.registered_model_version}"] = net
    client = mlflow.MlflowClient()
    client.set_registered_model_alias(NAME, "champion", info.registered_model_version)
    before = accuracy(f"models:/{NAME}@champion", test, chosen.forget)

    # 2. Into a registry, with their lineage.
    registry = Registry.create(out / "registry")
    pulled = pull(server, registry, names=NAME)
    for each in pulled.added:
        print(f"{each.uri} is {each.model}, from {', '.join(parent for parent, _ in each.parents) or 'nothing'}")

    # 3. Forget, in all of them at once.
    loader, heldout = DataLoader(learnt, 256), DataLoader(test, 256)
    data = data_from({name: capture(net, loader, labels=LABELS, heldout=heldout) for name, net in nets.items()}, "digits")
    registry.unlearn(classes=str(chosen.forget), data=data)
    verdicts = registry.verify(data)

    # 4. Back as new versions, and the old ones' files deleted.
    pushed = push(server, registry, verdicts=verdicts)
    for each in pushed.versions:
        print(f"{each.uri} replaces {each.replaces}{' and is now ' + ', '.join(each.aliases) if each.aliases else ''}")
    after = accuracy(f"models:/{NAME}@champion", test, chosen.forget)
    print(f"champion on {chosen.forget}: {before[0]:.1%} before, {after[0]:.1%} after; on the others {before[1]:.1%} and {after[1]:.1%}")
    gone = purge(server, registry, reason="the example is over")
    print(f"deleted {sum(each.files for each in gone.versions)} files of {len(gone.versions)} versions; MLflow keeps:")
    for words in gone.kept:
        print(f"  {words}")
    return before, after, pulled, pushed, gone


if __name__ == "__main__":
    main()
