"""Modules of the user's own, against an implementation in plain torch."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.utils.data import DataLoader, TensorDataset  # noqa: E402

import disinherit  # noqa: E402
from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402

LABELS = ["ant", "bee", "cat", "dog"]


class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.fc = nn.Linear(16, len(LABELS))

    def forward(self, x):
        return self.fc(self.body(x))


def samples(count=400, seed=1):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % len(LABELS)
    centres = torch.randn(len(LABELS), 6, generator=torch.Generator().manual_seed(9)) * 2
    return TensorDataset(centres[labels] + torch.randn(count, 6, generator=generator), labels)


def trained(steps=200, seed=0, start=None, frozen=False):
    net = start or Net(seed)
    net.train()
    parameters = net.fc.parameters() if frozen else net.parameters()
    optimizer = torch.optim.Adam(parameters, lr=0.01)
    inputs, labels = samples().tensors
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels).backward()
        optimizer.step()
    return net.eval()


@pytest.fixture(scope="module")
def net():
    return trained()


@pytest.fixture()
def loader():
    return DataLoader(samples(), batch_size=64)


def heldout():
    return DataLoader(samples(seed=2), batch_size=64)


def accuracy(net, label=None):
    inputs, labels = samples(seed=2).tensors
    with torch.no_grad():
        right = net.eval()(inputs).argmax(1) == labels
    return right[labels == label].float().mean().item() if label is not None else right.float().mean().item()


def plain_fisher(net, pick=None):
    """The mean of the squared per-sample gradients of the head, one sample at a time."""
    inputs, labels = samples().tensors
    if pick is not None:
        inputs, labels = inputs[labels == pick], labels[labels == pick]
    net = copy.deepcopy(net).eval()
    total = [torch.zeros_like(net.fc.weight), torch.zeros_like(net.fc.bias)]
    for x, y in zip(inputs, labels):
        net.zero_grad()
        nn.functional.cross_entropy(net(x[None]), y[None]).backward()
        total[0] += net.fc.weight.grad**2
        total[1] += net.fc.bias.grad**2
    return [part / len(labels) for part in total]


def plain_fiun(net, label, alpha, lambda_):
    """FIUn on the module itself, as in the paper, in plain torch."""
    own, forget = plain_fisher(net), plain_fisher(net, label)
    changed = []
    for value, o, f in zip((net.fc.weight, net.fc.bias), own, forget):
        factor = torch.where(f > alpha * o, (lambda_ * o / f).clamp(max=1), torch.ones_like(o))
        changed.append((value * factor).detach())
    return changed


def test_capture_is_the_input_and_output_of_the_head(net, loader):
    made = dt.capture(net, loader, labels=LABELS, heldout=heldout())
    assert made.head == "fc" and len(made) == 800 and made.heldout.sum() == 400
    inputs, labels = samples().tensors
    with torch.no_grad():
        features = net.body(inputs)
        assert np.allclose(made.features[:400], features, atol=1e-6)
        assert np.allclose(made.logits[:400], net.fc(features), atol=1e-6)
    assert (made.labels[:400] == labels.numpy()).all()


def test_capture_leaves_the_module_as_it_was(loader):
    net = trained(steps=3).train()
    net.body[1].eval()
    before = copy.deepcopy(net.state_dict())
    dt.capture(net, loader, labels=LABELS)
    assert net.training and net.body.training and not net.body[1].training
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())
    assert not net.fc._forward_hooks


def test_the_head_fim_is_that_of_autograd(net, loader):
    made = dt.capture(net, loader, labels=LABELS)
    weight, bias, counts = disinherit.head_fisher(made.features, made.logits, made.labels, 4)
    assert list(counts) == [100] * 4
    for label in range(4):
        w, b = plain_fisher(net, label)
        assert np.allclose(weight[label], w, rtol=1e-4, atol=1e-9)
        assert np.allclose(bias[label], b, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("alpha,lambda_", [(1.0, 1.0), (1.5, 0.5), (3.0, 0.1)])
def test_forgetting_is_that_of_plain_torch(net, loader, alpha, lambda_):
    ours, made = copy.deepcopy(net), dt.capture(net, loader, labels=LABELS)
    dt.forget(ours, made, classes="cat", alpha=alpha, lambda_=lambda_, raw=True, dampen_only=True)
    weight, bias = plain_fiun(net, 2, alpha, lambda_)
    assert torch.allclose(ours.fc.weight, weight, atol=1e-5)
    assert torch.allclose(ours.fc.bias, bias, atol=1e-5)
    assert not torch.equal(ours.fc.weight, net.fc.weight)
    assert all(torch.equal(a, b) for a, b in zip(ours.body.parameters(), net.body.parameters()))


def test_a_class_is_forgotten_and_the_rest_is_not(net, loader):
    ours = copy.deepcopy(net)
    before = [accuracy(ours, label) for label in range(4)]
    made = dt.capture(ours, loader, labels=LABELS, heldout=heldout())
    done = dt.forget(ours, made, classes=["cat"])
    assert accuracy(ours, 2) == 0 and done.verdict.passed is True
    for label in (0, 1, 3):
        assert accuracy(ours, label) >= before[label] - 0.02
    assert done.changed > 0 and done.alpha is not None


def test_a_state_dict_is_edited_in_place(net, loader):
    ours, other = copy.deepcopy(net), copy.deepcopy(net)
    made = dt.capture(net, loader, labels=LABELS)
    dt.forget(ours, made, classes="cat")
    state = other.state_dict()
    dt.forget(state, made, classes="cat")
    assert torch.equal(ours.fc.weight, other.fc.weight) and torch.equal(ours.fc.bias, other.fc.bias)
    with pytest.raises(DisinheritError, match="fc.weight"):
        dt.forget({"fc.bias": state["fc.bias"]}, made, classes="cat")
    # A head whose bias was left behind does not make the logits that were captured.
    with pytest.raises(DisinheritError, match="the logits in `captured` are not those"):
        dt.forget({"fc.weight": state["fc.weight"]}, made, classes="cat")


def without_bias(seed):
    net = Net(seed)
    net.fc = nn.Linear(16, len(LABELS), bias=False)
    return trained(start=net)


@pytest.mark.parametrize("layers", [None, "all"])
def test_a_head_without_a_bias_is_dampened(loader, layers):
    net = without_bias(seed=1)
    before = copy.deepcopy(net.state_dict())
    made = dt.capture(net, loader, labels=LABELS, heldout=heldout())
    done = dt.forget(net, made, classes="cat", layers=layers, loader=loader, heldout=heldout())
    after = net.state_dict()
    assert done.verdict.passed is True and accuracy(net, 2) <= 0.01
    assert accuracy(net) > 0.6 and not torch.equal(before["fc.weight"], after["fc.weight"])
    assert after.keys() == before.keys()
    registry = Registry.memory()
    registry.add("bare", net, labels=LABELS)
    weight, bias = registry.head("bare")
    assert np.array_equal(weight, after["fc.weight"]) and not bias.any()


def test_a_head_without_a_bias_is_suppressed_towards_the_mean_of_the_others(loader):
    net = without_bias(seed=0)
    made = dt.capture(net, loader, labels=LABELS, heldout=heldout())
    done = dt.forget(net, made, classes="cat", layers="all", loader=loader, heldout=heldout())
    assert done.verdict.passed is True and accuracy(net, 2) <= 0.01 and accuracy(net) > 0.6
    assert "of the way to the mean of the others" in done.warnings[0]
    alone = without_bias(seed=0)
    done = dt.forget(
        alone, made, classes="cat", layers="all", loader=loader, heldout=heldout(), dampen_only=True
    )
    assert "no alpha meets the target" in done.warnings[0]


class Decoder(nn.Module):
    """A head without a bias on each position; the last one that is no padding counts, as in language models."""

    def __init__(self, each=False):
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.rnn = nn.Embedding(30, 8), nn.GRU(8, 12, batch_first=True)
        self.score = nn.Linear(12, len(LABELS), bias=False)
        self.each = each

    def forward(self, tokens):
        logits = self.score(self.rnn(self.embed(tokens))[0])
        last = tokens.ne(0).sum(1) - 1
        return (logits if self.each else logits[torch.arange(len(tokens)), last], "something else")


def sentences(count=200, seed=1):
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % len(LABELS)
    tokens = chance.integers(1, 7, (count, 6)) + 7 * labels[:, None]
    tokens[np.arange(6) >= chance.integers(2, 7, count)[:, None]] = 0
    return torch.tensor(tokens), torch.tensor(labels)


def fit(net, inputs, targets, steps=60):
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs)[0].flatten(0, -2), targets.flatten()).backward()
        optimizer.step()
    return net.eval()


def test_a_head_on_each_position_is_taken_where_the_output_is():
    tokens, labels = sentences()
    net = fit(Decoder(), tokens, labels)
    made = dt.capture(net, DataLoader(TensorDataset(tokens, labels), 64), labels=LABELS)
    with torch.no_grad():
        hidden = net.rnn(net.embed(tokens))[0][torch.arange(200), tokens.ne(0).sum(1) - 1]
        assert np.allclose(made.features, hidden, atol=1e-6) and np.allclose(made.logits, net(tokens)[0], atol=1e-5)
    done = dt.forget(net, made, classes="cat")
    unseen, wanted = sentences(seed=2)
    right = net(unseen)[0].argmax(1) == wanted
    assert done.verdict.passed and not right[wanted == 2].any() and right[wanted != 2].float().mean() > 0.97
    summed = nn.Sequential(Decoder(each=True).embed, nn.Linear(8, 4))
    summed.register_forward_hook(lambda *given: given[2].sum(1))
    with pytest.raises(DisinheritError, match="that of no single position"):
        dt.capture(summed, DataLoader(TensorDataset(tokens, labels), 64), labels=LABELS)


def test_a_label_for_each_position_is_a_sample_each():
    tokens, labels = sentences()
    tags = torch.where(tokens > 0, labels[:, None], -100)
    net = fit(Decoder(each=True), tokens, tags)
    loader = DataLoader(TensorDataset(tokens, tags), 64)
    made = dt.capture(net, loader, labels=LABELS)
    assert len(made) == (tags >= 0).sum() and (made.labels == tags[tags >= 0].numpy()).all()
    done = dt.forget(net, made, classes="cat")
    found = net(tokens)[0].argmax(-1)
    assert done.verdict.passed and not (found == 2).any() and (found == tags)[(tags >= 0) & (tags != 2)].all()
    with pytest.raises(DisinheritError, match=r"labels of shape \[64, 6\]"):
        dt.samples(net, loader, labels=LABELS)
    with pytest.raises(DisinheritError, match=r"labels of shape \[64, 6\]"):
        dt.inner_fisher(net, loader)


class Squeezed(nn.Module):
    """A head that is a 1x1 convolution, and what stands between it and the logits, as in SqueezeNet."""

    def __init__(self, between, bias=True):
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU())
        self.classifier = nn.Sequential(nn.Dropout(0.5), nn.Conv2d(8, len(LABELS), 1, bias=bias), between)

    def forward(self, x):
        return self.classifier(self.body(x))


POOLED = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def maps(count=200, seed=1):
    labels = torch.arange(count) % len(LABELS)
    patterns = 2 * torch.randn(len(LABELS), 2, 6, 6, generator=torch.Generator().manual_seed(5))
    return patterns[labels] + torch.randn(count, 2, 6, 6, generator=torch.Generator().manual_seed(seed)), labels


def taught(between, targets=None, **options):
    net = Squeezed(between, **options)
    inputs, labels = maps()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(inputs), labels if targets is None else targets).backward()
        optimizer.step()
    return net.eval()


@pytest.mark.parametrize("bias", [True, False])
def test_a_head_that_is_a_1x1_convolution_forgets(bias):
    net = taught(POOLED, bias=bias)
    inputs, labels = maps()
    loader = DataLoader(TensorDataset(inputs, labels), 64)
    made = dt.capture(net, loader, labels=LABELS, heldout=DataLoader(TensorDataset(*maps(seed=2)), 64))
    assert made.head == "classifier.1"
    with torch.no_grad():
        assert np.allclose(made.features[:200], net.body(inputs).mean((2, 3)), atol=1e-5)
        assert np.allclose(made.logits[:200], net(inputs), atol=1e-5)
    # The closed form on the means is the FIM of autograd on the convolution.
    weight, of_bias, _ = disinherit.head_fisher(made.features[:200], made.logits[:200], made.labels[:200], 4)
    own = dt.inner_fisher(net, loader, parameters=["classifier.1.weight"], keep=lambda labels: labels == 2)
    assert np.allclose(weight[2], own["classifier.1.weight"][:, :, 0, 0], rtol=1e-3, atol=1e-9)
    before = copy.deepcopy(net.state_dict())
    done = dt.forget(net, made, classes="cat")
    unseen, wanted = maps(seed=2)
    right = net(unseen).argmax(1) == wanted
    assert done.verdict.passed and not right[wanted == 2].any() and right[wanted != 2].float().mean() > 0.9
    after = net.state_dict()
    assert after["classifier.1.weight"].shape == (4, 8, 1, 1)
    assert torch.equal(before["body.0.weight"], after["body.0.weight"])
    # A state dict has the same shapes.
    dt.forget(before, made, classes="cat")
    assert all(torch.equal(before[name], value) for name, value in after.items())


def test_a_label_for_each_place_of_a_map_is_a_sample_each():
    inputs, labels = maps()
    targets = labels[:, None, None].expand(-1, 4, 4).clone()
    targets[:, 0] = -100
    net = taught(nn.Identity(), targets)
    made = dt.capture(net, DataLoader(TensorDataset(inputs, targets), 64), labels=LABELS)
    assert len(made) == 200 * 12 and (made.labels == targets[targets >= 0].numpy()).all()
    with torch.no_grad():
        assert np.allclose(made.logits, net(inputs).movedim(1, -1)[targets >= 0], atol=1e-5)
    done = dt.forget(net, made, classes="cat")
    assert done.verdict.passed is not False and (net(inputs).argmax(1)[targets == 2] == 2).float().mean() <= 0.01


def test_what_makes_a_convolution_no_head_is_said():
    loader = DataLoader(TensorDataset(*maps()), 64)

    def refused(net, words, **options):
        with pytest.raises(DisinheritError, match=words):
            dt.capture(net, loader, labels=LABELS, **options)

    refused(taught(nn.Sequential(nn.ReLU(), *POOLED)), "with a ReLU between it and the mean over places")
    refused(taught(nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())), "must be a global average pooling")
    refused(taught(POOLED), "`body.0` is Conv2d, not a linear layer", head="body.0")
    wide = Squeezed(POOLED)
    wide.classifier[1] = nn.Conv2d(8, len(LABELS), 1, padding=1)
    refused(wide, "no linear layer has 4 outputs")


def test_ids_of_training_and_heldout_samples_are_given_apart(net, loader):
    ids, others = [f"s{n}" for n in range(400)], [f"h{n}" for n in range(400)]
    for data in (
        dt.data_from(dt.capture(net, loader, labels=LABELS, heldout=heldout(), ids=ids, heldout_ids=others)),
        dt.samples(net, loader, labels=LABELS, heldout=heldout(), ids=ids, heldout_ids=others),
    ):
        assert data.train_ids == ids and data.heldout_ids == others
    for make in (dt.capture, dt.samples):
        with pytest.raises(DisinheritError, match="`ids=` has 800 ids for 400 training samples.*`heldout_ids=`"):
            make(net, loader, labels=LABELS, heldout=heldout(), ids=ids + others)
        with pytest.raises(DisinheritError, match="`heldout_ids=` has 400 ids for 0 held-out samples"):
            make(net, loader, labels=LABELS, ids=ids, heldout_ids=others)
    # Those without ids are numbered.
    data = dt.samples(net, loader, labels=LABELS, heldout=heldout(), ids=ids, name="x")
    assert data.heldout_ids[:1] == ["x/heldout/000000"]
    assert dt.data_from(dt.capture(net, loader, labels=LABELS)).train_ids[:1] == ["features/000000"]


def test_old_names_still_work(net, loader):
    made = dt.capture(net, loader, labels=LABELS)
    with pytest.warns(DeprecationWarning, match="data_from"):
        assert len(dt.data_of(made)) == 400
    with pytest.warns(DeprecationWarning, match="from_features"):
        assert len(disinherit.Data.of_features(made.features, made.labels, LABELS)) == 400


class TwoHeads(Net):
    """Gives back the mean of two heads."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(16, len(LABELS))

    def forward(self, x):
        hidden = self.body(x)
        return (self.fc(hidden) + self.other(hidden)) / 2


def test_a_head_that_does_not_make_the_output_is_told(loader):
    net = trained(start=TwoHeads())
    with pytest.raises(DisinheritError, match="output is not what its head `other` makes"):
        dt.capture(net, loader, labels=LABELS)
    for head in ("fc", "other"):
        with pytest.warns(UserWarning, match=f"output is not what its head `{head}` makes"):
            made = dt.capture(net, loader, labels=LABELS, head=head)
        assert dt.forget(net, made, classes="cat").verdict.passed
    assert accuracy(net, 2) <= 0.01 and accuracy(net) > 0.7
    # On each position too.
    tokens, labels = sentences()
    double = Decoder(each=True)
    double.register_forward_hook(lambda module, given, made: (made[0] + made[0].roll(1, -1)) / 2)
    loader = DataLoader(TensorDataset(tokens, labels[:, None].expand_as(tokens)), 64)
    with pytest.raises(DisinheritError, match="output is not what its head `score` makes"):
        dt.capture(double, loader, labels=LABELS)


@pytest.mark.parametrize(
    "after", [nn.Softmax(-1), nn.LogSoftmax(-1), nn.Sigmoid(), nn.Identity(), lambda x: x / 7, lambda x: {"logits": x}]
)
def test_what_usually_follows_a_head_is_not_doubted(recwarn, loader, after):
    net = trained(steps=20)
    net.register_forward_hook(lambda module, given, made: after(made))
    assert dt.capture(net, loader, labels=LABELS).head == "fc"
    assert dt.capture(net, loader, labels=LABELS, head="fc").head == "fc" and not recwarn.list


def test_half_precision_stays_half_precision(tmp_path, loader):
    net = trained()
    made = dt.capture(net, loader, labels=LABELS, heldout=heldout())
    for dtype in (torch.float16, torch.bfloat16):
        torch.save(copy.deepcopy(net).to(dtype).state_dict(), tmp_path / "half.pt")
        registry = Registry.create(tmp_path / str(dtype))
        registry.add("half", tmp_path / "half.pt", labels=LABELS, trained_on="animals")
        registry.unlearn(classes="cat", data=dt.data_from(made), progress=False)
        registry.export("half", tmp_path / "back.pt")
        back = torch.load(tmp_path / "back.pt", weights_only=True)
        assert back["fc.weight"].dtype == dtype and back["body.0.weight"].dtype == dtype
        ours = copy.deepcopy(net)
        ours.load_state_dict(back)
        assert accuracy(ours, 2) <= 0.01


def test_inner_layers_by_per_sample_gradients(net, loader):
    own = dt.inner_fisher(net, loader, parameters=["fc.weight", "fc.bias", "body.0.weight"])
    w, b = plain_fisher(net)
    assert np.allclose(own["fc.weight"], w, rtol=1e-3, atol=1e-9)
    assert np.allclose(own["fc.bias"], b, rtol=1e-3, atol=1e-9)
    assert own["body.0.weight"].shape == (16, 6)
    ours = copy.deepcopy(net)
    made = dt.capture(ours, loader, labels=LABELS, heldout=heldout())
    done = dt.forget(ours, made, classes="cat", layers="all", loader=loader)
    assert accuracy(ours, 2) == 0 and done.changed > 0
    assert not torch.equal(ours.body[0].weight, net.body[0].weight)
    with pytest.raises(DisinheritError, match="no parameter `nothing`"):
        dt.inner_fisher(net, loader, parameters=["nothing"])


def family():
    base = trained()
    torch.manual_seed(3)
    return {
        "base": base,
        "frozen": trained(50, start=copy.deepcopy(base), frozen=True),
        "fine_tuned": trained(50, start=copy.deepcopy(base)),
    }


def test_a_family_forgets_in_a_registry_and_comes_back(tmp_path, loader):
    models = family()
    registry = Registry.create(tmp_path)
    for name, model in models.items():
        registry.add(
            name,
            model,
            labels=LABELS,
            parents=[] if name == "base" else ["base"],
            trained_on="animals",
        )
    captures = {
        name: dt.capture(model, loader, labels=LABELS, heldout=heldout())
        for name, model in models.items()
    }
    data = dt.data_from(captures)
    assert [m.id for m in registry.models()] == ["base@1", "frozen@1", "fine_tuned@1"]
    plan = registry.plan(classes="cat", initial="base")
    assert plan.initial == ["base@1"]
    done = registry.unlearn(classes="cat", initial="base", data=data, progress=False)
    assert {m.after for m in done.models} == {"base@2", "frozen@2", "fine_tuned@2"}
    verdicts = registry.verify(data, progress=False)
    assert all(v.passed for v in verdicts)
    registry.report(tmp_path / "report.html", data, progress=False)
    assert "cat" in (tmp_path / "report.html").read_text()
    for name, model in models.items():
        dt.load(registry, name, model)
        assert accuracy(model, 2) == 0, name
    # A module that forgets alone ends where the registry's does.
    alone = family()["base"]
    dt.forget(alone, dt.capture(alone, loader, labels=LABELS, heldout=heldout()), classes="cat")
    weight, bias = registry.head("base")
    assert np.allclose(alone.fc.weight.detach(), weight, atol=1e-5)
    assert np.allclose(alone.fc.bias.detach(), bias, atol=1e-5)
    undone = registry.undo(done.operation)
    assert len(undone.restored) == 3


def test_cards_need_no_data(tmp_path, loader):
    registry = Registry.create(tmp_path)
    net = trained()
    registry.add("net", net, labels=LABELS, trained_on="animals")
    data = dt.data_from({"net": dt.capture(net, loader, labels=LABELS)})
    assert registry.fisher("net", data, progress=False) == 1
    assert registry.fisher("net", data, progress=False) == 0
    again = Registry(tmp_path)
    done = again.unlearn(classes=["cat"], alpha=1.5, progress=False)
    assert done.models[0].tensors["fc.weight"].changed > 0


def test_types_and_values_survive(tmp_path):
    registry = Registry.memory()
    state = {
        "fc.weight": torch.randn(3, 2),
        "fc.bias": torch.zeros(3),
        "half": torch.randn(5).half(),
        "brain": torch.randn(5).bfloat16(),
        "count": torch.tensor(7),
        "turned": torch.arange(6.0).reshape(2, 3).t(),
        "mask": torch.tensor([True, False]),
        "array": torch.arange(3, dtype=torch.int16),
    }
    registry.add("model", state, labels=["a", "b", "c"])
    back = dt.state_dict(registry, "model")
    assert back.keys() == state.keys()
    for name, value in state.items():
        assert back[name].dtype == value.dtype and torch.equal(back[name], value), name


def test_pt_files_come_back_as_they_were(tmp_path, loader):
    net = trained(steps=5)
    torch.save({"state_dict": net.state_dict(), "epoch": 3}, tmp_path / "net.pt")
    registry = Registry.create(tmp_path / "registry")
    registry.add("net", tmp_path / "net.pt", labels=LABELS)
    registry.export("net", tmp_path / "back.pt")
    back = torch.load(tmp_path / "back.pt", weights_only=True)["state_dict"]
    for name, value in net.state_dict().items():
        assert torch.equal(back[name], value) and back[name].dtype == value.dtype


def test_captures_are_files_for_the_command_line(tmp_path, net, loader):
    pytest.importorskip("safetensors")
    made = dt.capture(net, loader, labels=LABELS, ids=[f"s{n}" for n in range(400)])
    made.save(tmp_path / "net.safetensors", model="net")
    data = disinherit.Data.open(tmp_path / "net.safetensors")
    assert data.label_names == LABELS and len(data) == 400
    assert set(data.train_ids) <= {f"s{n}" for n in range(400)}


def test_refusals_say_what_to_do(net, loader):
    made = dt.capture(net, loader, labels=LABELS)
    with pytest.raises(DisinheritError, match="unknown label `cow`"):
        dt.forget(net, made, classes="cow")
    with pytest.raises(DisinheritError, match="no layer `nowhere`"):
        dt.capture(net, loader, labels=LABELS, head="nowhere")
    with pytest.raises(DisinheritError, match="7 outputs"):
        dt.find_head(net, 7)
    tied = nn.Module()
    tied.embed, tied.fc = nn.Embedding(4, 6), nn.Linear(6, 4)
    tied.fc.weight = tied.embed.weight
    with pytest.raises(DisinheritError, match="tied to `embed.weight`"):
        dt.capture(tied, loader, labels=LABELS, head="fc")
    other = dt.capture(net, DataLoader(samples(), batch_size=50, shuffle=True), labels=LABELS)
    with pytest.raises(DisinheritError, match="other samples, or in another order"):
        dt.data_from({"a": made, "b": other})
    with pytest.raises(DisinheritError, match="there is no registry"):
        Registry("/nowhere")
    with pytest.raises(DisinheritError, match="give one of `classes=`"):
        Registry.memory().plan()


def test_other_threads_run_while_it_works(net, loader):
    """The lock of the interpreter is released."""
    import threading
    import time

    registry = Registry.memory()
    registry.add("net", {"fc.weight": np.ones((500, 2000), np.float32), "fc.bias": np.zeros(500, np.float32)},
                 labels=[str(n) for n in range(500)], trained_on="x")
    features = np.random.default_rng(0).normal(size=(3000, 2000)).astype(np.float32)
    data = disinherit.Data.from_features(features, np.arange(3000) % 500, [str(n) for n in range(500)])
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.002)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.perf_counter()
    registry.fisher("net", data, progress=False)
    end = time.perf_counter()
    stop.set()
    thread.join()
    during = [t for t in ticks if start < t < end]
    assert len(during) > 3, (len(during), end - start)


def test_progress_is_shown_through_tqdm(capsys, net, loader):
    pytest.importorskip("tqdm")
    registry = Registry.memory()
    registry.add("net", net, labels=LABELS, trained_on="animals")
    data = dt.data_from(dt.capture(net, loader, labels=LABELS))
    registry.unlearn(classes="cat", data=data)
    assert "running net@1" in capsys.readouterr().err
