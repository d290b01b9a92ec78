"""A family unlearned by the engine's own networks and through PyTorch modules gets the same heads."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

from disinherit import Data, Registry, results  # noqa: E402
from disinherit.torch import capture, data_from, samples, state_dict  # noqa: E402
from test_results import check  # noqa: E402

LABELS = ["bar", "cross", "dot", "edge"]


class SmallCnn(nn.Module):
    """The engine's `small-cnn`."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc1 = nn.Linear(128, 64)
        self.fc2 = nn.Linear(64, len(LABELS))

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = nn.functional.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def pictures(folder, part, count, seed):
    """Writes pictures for the engine, and returns the same as tensors, in the engine's order."""
    chance = np.random.default_rng(seed)
    images, labels = [], []
    for label, name in enumerate(LABELS):
        place = folder / part / name
        place.mkdir(parents=True)
        for number in range(count):
            image = chance.integers(0, 120, (8, 8))
            at = chance.integers(1, 6)
            if name in ("bar", "cross"):
                image[at] = 250
            if name in ("cross", "edge"):
                image[:, at] = 250
            if name == "dot":
                image[at : at + 2, at : at + 2] = 250
            image = image.astype(np.uint8)
            Image.fromarray(image).save(place / f"{number:03}.png")
            images.append(image)
            labels.append(label)
    tensor = (torch.tensor(np.stack(images)).float()[:, None] / 255 - 0.5) / 0.5
    return TensorDataset(tensor, torch.tensor(labels))


def train(model, samples, steps, rate):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    inputs, labels = samples.tensors
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model.eval()


def families(folder, family):
    """The same models twice: as files for the engine's own network, and as modules."""
    ours, tdescendants = Registry.memory(), Registry.memory()
    for name, model in family.items():
        about = dict(
            labels=LABELS, parents=[] if name == "base" else ["base"], trained_on="pictures"
        )
        file = folder / f"{name}.safetensors"
        save_file(model.state_dict(), file)
        ours.add(name, file, architecture="small-cnn", input=(1, 8, 8), **about)
        tdescendants.add(name, model, **about)
    return ours, tdescendants


def weights(registry, model):
    return {name: value.numpy() for name, value in state_dict(registry, model).items()}


def cosine(one, other):
    return (one * other).sum() / (np.linalg.norm(one) * np.linalg.norm(other))


def answers(registry, name, loader):
    """What a model of a registry takes samples for."""
    model = SmallCnn()
    model.load_state_dict(state_dict(registry, name))
    model.eval()
    with torch.no_grad():
        return torch.cat([model(images).argmax(1) for images, _ in loader])


def assert_close(one, other, what):
    # A suppressed bias may be large: in single precision then of its size.
    assert (np.abs(one - other) <= 1e-5 * np.maximum(1, np.abs(one))).all(), what


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    torch.manual_seed(0)
    learnt = pictures(folder / "data", "train", 40, 1)
    unseen = pictures(folder / "data", "test", 20, 2)
    base = train(SmallCnn(), learnt, 200, 0.003)
    child = train(copy.deepcopy(base), learnt, 20, 0.003)
    return folder / "data", {"base": base, "child": child}, DataLoader(learnt, 32), DataLoader(unseen, 32)


@pytest.mark.parametrize("options", [{}, {"alpha": 1.5, "lambda_": 0.5}], ids=["auto", "given"])
def test_both_ways_end_in_the_same_heads(tmp_path, trained, options):
    folder, family, learnt, unseen = trained
    ours, tdescendants = families(tmp_path, family)
    captured = data_from(
        {name: capture(model, learnt, labels=LABELS, heldout=unseen) for name, model in family.items()}
    )
    pixels = Data.open(folder)
    assert pixels.label_names == LABELS and len(pixels) == 240
    for registry, data in ((ours, pixels), (tdescendants, captured)):
        done = registry.unlearn(classes="cross", initial="base", data=data, progress=False, accept_loss=1.0, depth="outputs", **options)
        assert len(done.models) == 2
    for name in family:
        for one, other in zip(ours.head(name), tdescendants.head(name)):
            assert_close(one, other, name)
        before = ours.head(f"{name}@1")
        assert not all(map(np.array_equal, ours.head(name), before))
        assert not options or not np.array_equal(ours.head(name)[0], before[0])


@pytest.mark.parametrize(
    "options",
    [{}, {"alpha": 1.5, "lambda_": 0.5}, {"layers": ["conv*", "fc1.weight"], "alpha": 2.0}],
    ids=["auto", "given", "some"],
)
def test_both_ways_end_in_the_same_inner_layers(tmp_path, trained, options):
    folder, family, learnt, unseen = trained
    ours, tdescendants = families(tmp_path, family)
    pixels = Data.open(folder)
    # One module for both models, and a loader that shuffles: weights and order are the engine's.
    shuffling = DataLoader(learnt.dataset, 24, shuffle=True)
    tdescendants_data = samples(SmallCnn(), shuffling, labels=LABELS, heldout=unseen, name="pictures")
    options = {"layers": "all", **options}
    chosen, judged = [], []
    for registry, data in ((ours, pixels), (tdescendants, tdescendants_data)):
        done = registry.unlearn(classes="cross", initial="base", data=data, progress=False, accept_loss=1.0, **options)
        chosen.append([number for m in done.models for number in (m.alpha, m.lambda_)])
        verdicts = registry.verify(data, progress=False)
        judged.append([verdict.scores for verdict in verdicts])
        assert options.get("alpha") or all(verdict.passed for verdict in verdicts)
    # An alpha that is chosen lies between two ratios of Fisher information in single precision.
    assert chosen[0] == pytest.approx(chosen[1], rel=1e-4)
    assert judged[0] == judged[1]
    for name in family:
        one, other, before = weights(ours, name), weights(tdescendants, name), weights(ours, f"{name}@1")
        for tensor in before:
            assert_close(one[tensor], other[tensor], (name, tensor))
        assert not np.array_equal(one["conv1.weight"], before["conv1.weight"])
        assert ("fc2.weight" in options["layers"] or options["layers"] == "all") != np.array_equal(
            one["fc2.weight"], before["fc2.weight"]
        )


def test_features_forget_alike_wherever_the_network_runs(tmp_path, trained):
    folder, family, learnt, unseen = trained
    ours, tdescendants = families(tmp_path, family)
    captured = data_from(
        {name: capture(model, learnt, labels=LABELS, heldout=unseen) for name, model in family.items()}
    )
    options = dict(classes="cross", initial="base", depth="features", target_loss=0.05, progress=False, accept_loss=1.0)
    for outcome in tdescendants.unlearn(data=captured, dry_run=True, **options).models:
        assert outcome.inner.layer is None and "below its head" in outcome.inner.outputs_only
        assert outcome.changed > 0
    pixels = Data.open(folder)
    run = samples(SmallCnn(), DataLoader(learnt.dataset, 24, shuffle=True), labels=LABELS, heldout=unseen, name="pictures")
    inners = []
    for registry, data in ((ours, pixels), (tdescendants, run)):
        done = registry.unlearn(data=data, **options)
        for outcome in done.models:
            check(outcome.inner, results.InnerEdit, "inner")
            assert outcome.inner.layer == "fc1.weight" and outcome.inner.basis == "own", outcome.inner
            # No model of this family never knew the class.
            assert outcome.inner.reference is None
            chosen = [trial for trial in outcome.inner.trials if trial.ridge == outcome.inner.ridge]
            assert chosen[0].forget == 0
            changed = {name for name, tensor in outcome.tensors.items() if tensor.changed}
            assert changed == {"fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"}
        assert all(verdict.passed for verdict in registry.verify(data, progress=False))
        inners.append([outcome.inner for outcome in done.models])
    for one, other in zip(*inners):
        assert one.ridge == other.ridge
        assert [t.ridge for t in one.trials] == [t.ridge for t in other.trials]
    # The network that runs in the engine is edited by draws in place of its forget samples: much alike, not the same.
    # How much depends on what was trained, which differs between processors: over seeds the cosines are 0.83 to 1.
    for name in family:
        one, other, before = weights(ours, name), weights(tdescendants, name), weights(ours, f"{name}@1")
        for tensor in before:
            alike = cosine(one[tensor], other[tensor])
            assert alike > 0.8, (name, tensor, alike)
            assert alike > max(cosine(one[tensor], before[tensor]), cosine(other[tensor], before[tensor])) - 1e-5
        assert np.abs(one["fc1.weight"] - before["fc1.weight"]).max() > 0.01
        said = [answers(registry, name, unseen) for registry in (ours, tdescendants)]
        kept = torch.cat([labels for _, labels in unseen]) != LABELS.index("cross")
        assert (said[0] == said[1])[kept].all()
        assert (said[0] == said[1]).float().mean() > 0.9
