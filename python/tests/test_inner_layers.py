"""Inner layers of the user's own modules, in a registry, against an implementation in plain torch."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset  # noqa: E402

from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402

LABELS = ["ant", "bee", "cat", "dog"]


class Reader(nn.Module):
    """Reads sequences: an embedding, a recurrent layer, a head; tied weights between two inner layers."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(30, 8)
        self.norm = nn.LayerNorm(8)
        self.rnn = nn.LSTM(8, 12, batch_first=True)
        self.first, self.second = nn.Linear(12, 12), nn.Linear(12, 12)
        self.second.weight = self.first.weight
        self.register_buffer("count", torch.tensor(3))
        self.fc = nn.Linear(12, len(LABELS))

    def forward(self, tokens):
        out, _ = self.rnn(self.norm(self.embed(tokens)))
        hidden = torch.tanh(self.second(torch.tanh(self.first(out[:, -1]))))
        # What comes after the head is not the engine's business.
        return torch.log_softmax(self.fc(hidden), -1)


class EachPosition(Reader):
    """The same with a head that runs on each position, of which the last is given back, as in decoders."""

    def forward(self, tokens):
        out, _ = self.rnn(self.norm(self.embed(tokens)))
        hidden = torch.tanh(self.second(torch.tanh(self.first(out))))
        return {"logits": self.fc(hidden)[:, -1]}


def logits(model, inputs):
    made = model(inputs)
    return made["logits"] if isinstance(made, dict) else made


def texts(count=160, seed=1):
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABELS)
    tokens = chance.integers(0, 6, (count, 7)) + 6 * labels[:, None]
    strange = chance.random((count, 7)) < 0.3
    tokens[strange] = chance.integers(0, 30, strange.sum())
    return TensorDataset(torch.tensor(tokens), torch.tensor(labels))


def trained(model, steps, seed=1):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    inputs, labels = texts(seed=seed).tensors
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(logits(model, inputs), labels).backward()
        optimizer.step()
    return model.eval()


def family_of(kind):
    base = trained(kind(), 60)
    return {"base": base, "child": trained(copy.deepcopy(base), 10)}


@pytest.fixture(scope="module")
def family():
    return family_of(Reader)


def loaders(size=32):
    return DataLoader(texts(), size, shuffle=True), DataLoader(texts(seed=2), size)


def registered(family, place=None):
    registry = Registry.create(place) if place else Registry.memory()
    for name, model in family.items():
        registry.add(
            name,
            model,
            labels=LABELS,
            head="fc",
            parents=[] if name == "base" else ["base"],
            trained_on="texts",
        )
    return registry


def plain_fisher(model, pick=None):
    """The mean of squared gradients, one sample at a time."""
    inputs, labels = texts().tensors
    if pick is not None:
        inputs, labels = inputs[labels == pick], labels[labels == pick]
    model = copy.deepcopy(model).double().eval()
    total = {name: torch.zeros_like(value) for name, value in model.named_parameters()}
    for x, y in zip(inputs, labels):
        model.zero_grad()
        nn.functional.cross_entropy(logits(model, x[None]), y[None]).backward()
        for name, value in model.named_parameters():
            total[name] += value.grad**2
    return {name: value / len(labels) for name, value in total.items()}


@pytest.mark.parametrize("kind", [Reader, EachPosition])
def test_a_family_is_dampened_as_in_plain_torch(kind):
    family = family_of(kind)
    registry, (loader, heldout) = registered(family), loaders()
    data = dt.samples(kind(1), loader, labels=LABELS, heldout=heldout, name="texts")
    alpha, lambda_ = 1.0, 0.5
    registry.unlearn(
        classes="cat", initial="base", data=data, layers="all", alpha=alpha, lambda_=lambda_, raw=True, progress=False, accept_loss=1.0
    )
    forget = plain_fisher(family["base"], 2)
    for name, model in family.items():
        own, new = plain_fisher(model), dt.state_dict(registry, name)
        dampened = 0
        for tensor, value in model.named_parameters():
            o, f = own[tensor], forget[tensor]
            factor = torch.where(f > alpha * o, (lambda_ * o / f).clamp(max=1), torch.ones_like(o))
            if tensor.startswith(("first.weight", "second.weight")):
                # Tied: left alone.
                factor = torch.ones_like(o)
            wanted = (value.double() * factor).float()
            # Decisions on the edge may fall either way in single precision.
            open_ = (f - alpha * o).abs() < 1e-4 * alpha * o
            assert torch.allclose(new[tensor][~open_], wanted[~open_], rtol=1e-4, atol=1e-5), (name, tensor)
            dampened += int((wanted != value).sum())
        assert dampened > 50, name
        assert torch.equal(new["first.weight"], new["second.weight"])
        assert torch.equal(new["count"], torch.tensor(3))


def test_a_family_forgets_in_all_layers_and_comes_back(tmp_path, family):
    registry, (loader, heldout) = registered(family, tmp_path / "registry"), loaders()
    module = Reader(1).train()
    before = copy.deepcopy(module.state_dict())
    data = dt.samples(module, loader, labels=LABELS, heldout=heldout, name="texts")
    assert registry.fisher(["base", "child"], data, layers="all", progress=False) == 2
    assert registry.fisher(["base", "child"], data, layers=["rnn.*"], progress=False) == 0
    done = registry.unlearn(classes="cat", initial="base", data=data, layers="all", progress=False, accept_loss=1.0)
    assert any(t.changed for n, t in done.models[0].tensors.items() if n.startswith("rnn."))
    verdicts = registry.verify(data, progress=False)
    inputs, labels = texts(seed=2).tensors
    for name, model, verdict in zip(family, family.values(), verdicts):
        ours = copy.deepcopy(model)
        dt.load(registry, name, ours)
        with torch.no_grad():
            right = ours(inputs).argmax(1) == labels
            known = model(inputs).argmax(1) == labels
        # The verdict is on the new inner layers, not on features of the old ones.
        assert verdict.scores.forget.heldout == right[labels == 2].float().mean().item() <= 0.01
        assert verdict.scores.retain.heldout == pytest.approx(right[labels != 2].float().mean().item())
        assert right[labels != 2].float().mean() >= known[labels != 2].float().mean() - 0.05
    registry.report(tmp_path / "report.html", data, progress=False)
    assert "child" in (tmp_path / "report.html").read_text()
    # The module is as it was.
    assert module.training and not module._forward_pre_hooks and not module.fc._forward_hooks
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_module_forgets_in_all_layers_in_place(family):
    ours, (loader, heldout) = copy.deepcopy(family["base"]), loaders()
    made = dt.capture(ours, DataLoader(texts(), 32), labels=LABELS)
    done = dt.forget(ours, made, classes="cat", layers="all", loader=loader, heldout=heldout)
    assert done.verdict.passed is True and done.changed > 0
    inputs, labels = texts(seed=2).tensors
    assert (ours(inputs).argmax(1)[labels == 2] != 2).all()
    # As a registry of one model does it.
    registry = registered({"base": family["base"]})
    data = dt.samples(Reader(1), loader, labels=LABELS, heldout=heldout, name="texts")
    registry.unlearn(classes="cat", data=data, layers="all", progress=False, accept_loss=1.0)
    for name, value in dt.state_dict(registry, "base").items():
        assert torch.allclose(ours.state_dict()[name], value, atol=1e-6), name
    with pytest.raises(DisinheritError, match="state dict"):
        dt.forget(ours.state_dict(), made, classes="cat", layers="all", loader=loader)
    with pytest.raises(DisinheritError, match="give `loader=`"):
        dt.forget(ours, made, classes="cat", layers="all")
    with pytest.raises(DisinheritError, match="no tensor of .* fits"):
        dt.forget(ours, made, classes="cat", layers=["first.weight"], loader=loader)


def test_modules_of_their_own_and_other_estimators(family):
    registry, (loader, _) = registered(family), loaders()
    data = dt.samples(copy.deepcopy(family), loader, labels=LABELS, ids=[f"t{n}" for n in range(160)])
    assert data.train_ids[:2] == ["t0", "t1"] and len(data) == 160
    done = registry.unlearn(
        classes="cat", initial="base", data=data, layers="all", estimator="true:0", alpha=2.0, dry_run=True,
        progress=False, accept_loss=1.0,
    )
    assert all(m.tensors["embed.weight"].selected > 0 for m in done.models)
    # Single samples, known by their ids, need the samples too.
    done = registry.unlearn(
        samples=["t2", "t6", "t10"], initial="base", data=data, layers=["fc.*", "embed.*"], alpha=2.0, dry_run=True,
        progress=False, accept_loss=1.0,
    )
    assert done.models[0].tensors["embed.weight"].selected > 0
    with pytest.raises(DisinheritError, match="batch estimator"):
        registry.unlearn(classes="cat", data=data, layers="all", estimator="batch:8", progress=False, accept_loss=1.0)


class Choosy(Reader):
    """Its way depends on values: many samples at once cannot take it."""

    def forward(self, tokens):
        return super().forward(tokens) * (1.0 if tokens.sum().item() >= 0 else 2.0)


def test_one_sample_at_a_time_where_many_cannot_be_run(family):
    loader = DataLoader(texts(12), 8)
    choosy = Choosy()
    choosy.load_state_dict(family["base"].state_dict())
    plain, made = dt.inner_fisher(family["base"], loader), dt.inner_fisher(choosy, loader)
    assert plain.keys() == made.keys()
    for name, value in plain.items():
        assert np.allclose(made[name], value, rtol=1e-4, atol=1e-12), name
        assert value.any(), name


class Failing(Reader):
    def forward(self, tokens):
        raise ZeroDivisionError("of the user's own making")


class Endless(IterableDataset):
    def __iter__(self):
        yield from texts()


def test_refusals_say_what_to_do(family):
    registry, (loader, _) = registered(family), loaders()

    def unlearn(data, **options):
        registry.unlearn(classes="cat", data=data, layers="all", progress=False, accept_loss=1.0, **options)

    with pytest.raises(DisinheritError, match="no module for `child`, only for base"):
        unlearn(dt.samples({"base": Reader()}, loader, labels=LABELS))
    with pytest.raises(DisinheritError, match="data set with a length"):
        dt.samples(Reader(), [texts().tensors], labels=LABELS)
    with pytest.raises(DisinheritError, match="data set with a length"):
        dt.samples(Reader(), DataLoader(Endless()), labels=LABELS)
    with pytest.raises(DisinheritError, match="`ids=` has 3 ids for 160 training samples"):
        dt.samples(Reader(), loader, labels=LABELS, ids=["a", "b", "c"])
    # What the module raises comes back as it was raised.
    with pytest.raises(ZeroDivisionError, match="own making"):
        unlearn(dt.samples(Failing(), loader, labels=LABELS))
    other = Reader()
    other.norm = nn.LayerNorm(8, elementwise_affine=False)
    with pytest.raises(DisinheritError, match="`base` has a tensor `norm.bias`, the module has none"):
        unlearn(dt.samples(other, loader, labels=LABELS))
    other = Reader()
    other.more = nn.Linear(2, 2)
    with pytest.raises(DisinheritError, match="the module has a tensor `more.*`, `base` has none"):
        unlearn(dt.samples(other, loader, labels=LABELS))
    other = Reader()
    other.rnn = nn.LSTM(8, 12, batch_first=True, num_layers=1, bidirectional=False)
    other.embed = nn.Embedding(31, 8)
    with pytest.raises(DisinheritError, match=r"the module's `embed.weight` is \[31, 8\], that of `base` \[30, 8\]"):
        unlearn(dt.samples(other, loader, labels=LABELS))
    wild = Reader()
    with torch.no_grad():
        wild.embed.weight[:] = float("nan")
    wrong = Registry.memory()
    with pytest.raises(DisinheritError):
        wrong.add("base", wild, labels=LABELS, head="fc", trained_on="texts")
        wrong.unlearn(classes="cat", data=dt.samples(Reader(), loader, labels=LABELS), layers="all", progress=False)
    # Nothing was published.
    assert [m.id for m in registry.models()] == ["base@1", "child@1"]
    # Without a network to run, inner layers are not to be had.
    captured = dt.data_from({name: dt.capture(m, DataLoader(texts(), 32), labels=LABELS) for name, m in family.items()})
    with pytest.raises(DisinheritError, match="only the head is known"):
        unlearn(captured)
