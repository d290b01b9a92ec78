"""Edits of the penultimate layer of modules: which layer it is, what becomes of its output, and that features forget."""

import copy
import fnmatch

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from deep_networks import GONE, KINDS, LABELS, WORDS, accuracies, inputs_of, loader, logits, trained  # noqa: E402
from disinherit import DisinheritError, Registry  # noqa: E402
from disinherit import torch as dt  # noqa: E402
from disinherit.torch._samples import Modules, _Samples  # noqa: E402


def seen_at(model, kind, inputs):
    """The stream by a hook: what goes into a module, or comes out, the last time that it runs in a pass.

    ``[samples, positions, channels]``.
    """
    found = []
    side, name = kind.stream
    module = model.get_submodule(name)
    if side == "in":
        hook = module.register_forward_pre_hook(lambda _, given: found.append(given[0].clone()))
    else:
        hook = module.register_forward_hook(lambda _, __, made: found.append(made.clone()))
    with torch.no_grad():
        model(inputs)
    hook.remove()
    stream = found[-1] if kind.position is None else kind.position(found[-1])
    return stream.movedim(kind.channel, -1).flatten(1, -2) if stream.dim() > 2 else stream[:, None]


def penultimate(model, samples, ids, layer=None):
    """The layer of a module as the engine is told of it, what it reads and the stream of some samples."""
    networks = Modules(model, [_Samples(samples)], ids, 32, layer)
    floats = {name: value.float().numpy() for name, value in model.state_dict().items() if value.is_floating_point()}
    first, *batches = networks.penultimate("model", dt.find_head(model, 5), floats, ids)
    if isinstance(first, str):
        return first
    read, stream = (torch.tensor(np.concatenate(parts)) for parts in zip(*batches))
    return first, read, stream


def rows(values, window, wanted):
    """What a layer reads at every position, and the stream there: ``[samples, positions, ...]``."""
    kernel, stride, padding = window
    unfolded = nn.functional.unfold(values.movedim(-1, 1), kernel, 1, padding, stride)
    return unfolded.transpose(1, 2), wanted.flatten(1, 2)


@pytest.mark.parametrize("name", KINDS)
def test_a_correction_of_the_cut_is_that_of_the_network(name):
    kind, model = KINDS[name], trained(name)
    with torch.no_grad():
        # Not the first values, so that no batch norm is left out of account.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.mul_(torch.linspace(0.5, 1.5, len(module.weight)))
    samples, ids = loader(model, kind.data, shuffle=True), [f"s{n}" for n in range(300)]
    before = copy.deepcopy(model.state_dict())
    about, read, stream = penultimate(model.train(), samples, ids)
    assert model.training and all(torch.equal(before[part], value) for part, value in model.state_dict().items())
    model.eval()
    assert fnmatch.fnmatchcase(about.weight, kind.weight), about

    inputs, _ = inputs_of(kind.data)
    read, stream = rows(read, about.window, stream)
    seen = seen_at(model, kind, inputs)
    assert seen.shape == stream.shape and torch.allclose(seen, stream, atol=1e-4)

    # Corrected weights make of it what the correction says.
    chance = torch.Generator().manual_seed(3)
    weight = 0.02 * torch.randn(stream.shape[-1], read.shape[-1], generator=chance)
    bias = 0.1 * torch.randn(stream.shape[-1], generator=chance)
    with torch.no_grad():
        named = dict(model.named_parameters())
        own = named[about.weight]
        own += (weight.T if about.transposed else weight).reshape(own.shape)
        if about.bias is not None:
            named[about.bias] += bias
        elif about.shift is not None:
            named[about.shift[0]] += bias * torch.tensor(about.shift[1])
        else:
            bias.zero_()
    predicted = stream + torch.tensor(about.scale) * (read @ weight.T + bias)
    assert (predicted - stream).abs().max() > 0.01
    assert torch.allclose(seen_at(model, kind, inputs), predicted, atol=2e-4)


def probed(model, kind):
    """The balanced accuracy with which a linear probe on the features finds the forgotten class, held out."""
    learnt = dt.capture(model, loader(model, kind.data), labels=LABELS, heldout=loader(model, kind.data, seed=2))
    features, gone = torch.tensor(learnt.features), torch.tensor(learnt.labels == GONE)
    features = (features - features.mean(0)) / (features.std(0) + 1e-6)
    held = torch.tensor(learnt.heldout)
    weights = torch.where(gone, 1.0 / gone.float().mean(), 1.0 / (~gone).float().mean())
    torch.manual_seed(0)
    probe = nn.Linear(features.shape[1], 1)
    optimizer = torch.optim.LBFGS(probe.parameters(), max_iter=200)

    def loss():
        optimizer.zero_grad()
        made = probe(features[~held])[:, 0]
        value = nn.functional.binary_cross_entropy_with_logits(made, gone[~held].float(), weights[~held])
        value = value + 0.01 * probe.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    with torch.no_grad():
        said = probe(features[held])[:, 0] > 0
    right = (said == gone[held]).float()
    return (right[gone[held]].mean() + right[~gone[held]].mean()).item() / 2


def forgotten(model, kind, **options):
    learnt, unseen = loader(model, kind.data, shuffle=True), loader(model, kind.data, seed=2)
    made = dt.capture(model, loader(model, kind.data), labels=LABELS)
    return dt.forget(model, made, classes=LABELS[GONE], loader=learnt, heldout=unseen, **options)


@pytest.mark.parametrize("name", KINDS)
def test_features_forget(name):
    kind, model = KINDS[name], trained(name)
    before = accuracies(model, kind.data)
    done = forgotten(model, kind, target_loss=0.03)
    assert done.inner.outputs_only is None and not done.warnings, done
    assert fnmatch.fnmatchcase(done.inner.layer, kind.weight) and done.inner.basis == "own"
    assert [trial.forget for trial in done.inner.trials if trial.ridge == done.inner.ridge] == [0.0]
    after = accuracies(model, kind.data)
    print(name, before, after, done.inner.ridge)
    # Swin learns the class least, more or less on different machines; of thirty held-out samples one may be left.
    assert before[0] > 0.3 and after[0] <= 0.034
    assert done.verdict.passed is (after[0] <= 0.01)
    assert after[1] >= before[1] - 0.05


#: Modules whose features follow from the stream by steps that the engine knows, and whose statistics are smaller than they
#: are themselves.
CARDED = ["MLP", "basic blocks", "sequence first", "ViT", "BERT", "RoBERTa", "DistilBERT", "Llama", "GPT-2"]


@pytest.mark.parametrize("name", [*CARDED, "squeeze"])
def test_features_forget_from_cards_alone(name):
    kind, model = KINDS[name], trained(name)
    before = accuracies(model, kind.data)
    registry = Registry.memory()
    registry.add("module", model, labels=LABELS, head=dt.find_head(model, 5), trained_on="set")
    data = dt.samples(model, loader(model, kind.data, shuffle=True), labels=LABELS, name="set")
    registry.fisher("module", data=data, progress=False)
    # Neither samples nor the module are at hand.
    (outcome,) = registry.unlearn(classes=LABELS[GONE], target_loss=0.05, progress=False).models
    if name not in CARDED:
        # Its card keeps no statistics: outputs are edited.
        assert outcome.inner.layer is None and "keeps no activation statistics" in outcome.inner.outputs_only
        return
    assert outcome.inner.basis == "card" and outcome.inner.outputs_only is None, outcome.inner
    assert fnmatch.fnmatchcase(outcome.inner.layer, kind.weight)
    edited = copy.deepcopy(model)
    dt.load(registry, "module", edited)
    after = accuracies(edited, kind.data)
    assert after[0] <= 0.034 and after[1] >= before[1] - 0.06, (before, after)
    if name == "ViT":
        assert probed(edited, kind) < probed(model, kind) - 0.03


# The small plain CNN tells these patterns apart whatever its last layer writes: a probe says nothing of it.
@pytest.mark.parametrize("name", ["ViT"])
def test_a_probe_finds_the_class_less_well_than_after_an_edit_of_the_outputs(name):
    kind = KINDS[name]
    deep, flat = trained(name), trained(name)
    assert forgotten(deep, kind, target_loss=0.03).inner.outputs_only is None
    assert forgotten(flat, kind, depth="outputs", target_loss=0.03).inner is None
    reached = [probed(model, kind) for model in (trained(name), flat, deep)]
    print(name, reached)
    assert reached[1] == pytest.approx(reached[0], abs=0.02)
    assert reached[2] < reached[1] - 0.03


class Half(nn.Module):
    """Runs in half precision."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner.to(torch.bfloat16)

    def forward(self, x):
        return self.inner(x.to(torch.bfloat16))


def test_weights_of_half_precision_stay_so():
    kind, model = KINDS["plain CNN"], Half(trained("plain CNN"))
    before, known = copy.deepcopy(model.state_dict()), accuracies(model, kind.data)
    done = forgotten(model, kind, depth="features", target_loss=0.05)
    assert done.inner.layer == "inner.body.7.weight", done
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"inner.body.7.weight", "inner.body.7.bias", "inner.fc.weight", "inner.fc.bias"}
    assert all(value.dtype == before[name].dtype for name, value in model.state_dict().items())
    gone, others = accuracies(model, kind.data)
    assert gone <= 0.01 and others >= known[1] - 0.07


def test_a_layer_that_is_named_is_edited():
    kind, model = KINDS["bottlenecks"], trained("bottlenecks")
    done = forgotten(model, kind, depth="features", layer="layer.1.conv2", target_loss=0.05)
    assert done.inner.layer == "layer.1.conv2.weight" and done.inner.outputs_only is None, done
    assert done.verdict.passed is True
    for layer in ("layer.9", "layer.1.relu", "layer.1"):
        with pytest.raises(DisinheritError, match=f"no layer `{layer}` with a weight"):
            forgotten(model, kind, depth="features", layer=layer)
    with pytest.raises(DisinheritError, match="is the head"):
        forgotten(model, kind, depth="features", layer="fc")
    for options in ({"depth": "outputs"}, {"alpha": 2.0}):
        with pytest.raises(DisinheritError, match="`layer=` names what"):
            forgotten(model, kind, layer="layer.1.conv2", **options)


def family(name):
    """An untouched root, a model that learnt the class on top of it, and a child of that."""
    kind = KINDS[name]
    inputs, labels = inputs_of(kind.data)
    models = {}
    for model, start, known in (("root", None, labels != GONE), ("base", "root", labels >= 0), ("child", "base", labels >= 0)):
        torch.manual_seed(0)
        models[model] = (kind.make() if start is None else copy.deepcopy(models[start])).train()
        optimizer = torch.optim.Adam(models[model].parameters(), lr=0.005)
        for _ in range(60 if model != "child" else 10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits(models[model], inputs[known]), labels[known]).backward()
            optimizer.step()
        models[model].eval()
    return models


@pytest.mark.parametrize("modules", ["one", "each", "touched"])
def test_a_family_forgets_as_a_root_says_that_never_knew_the_class(modules):
    kind, models = KINDS["basic blocks"], family("basic blocks")
    registry = Registry.memory()
    parents = {"root": [], "base": ["root"], "child": ["base"]}
    for name, model in models.items():
        known = [label for label in LABELS if name != "root" or label != LABELS[GONE]]
        registry.add(
            name, model, labels=LABELS, head="fc", parents=parents[name], trained_on="set", trained_labels=known
        )
    run = {"one": kind.make(), "each": copy.deepcopy(models), "touched": copy.deepcopy(models)}[modules]
    if modules == "touched":
        # A root that is not run is none.
        del run["root"]
    learnt, unseen = (loader(models["base"], kind.data, seed=seed, shuffle=True) for seed in (1, 2))
    data = dt.samples(run, learnt, labels=LABELS, heldout=unseen, name="set")
    for depth, wanted in (("auto", "training_data"), ("outputs", None)):
        plan = registry.plan(classes=LABELS[GONE], data=data, depth=depth)
        assert [task.reads for stage in plan.stages for task in stage.tasks if task.kind == "edit"] == [wanted] * 2
        assert plan.training_data == ["base@1", "child@1"]
    done = registry.unlearn(classes=LABELS[GONE], data=data, target_loss=0.05, progress=False)
    assert [outcome.after for outcome in done.models] == ["base@2", "child@2"] and not done.warnings
    for outcome in done.models:
        assert outcome.inner.layer == "layer.1.conv2.weight" and outcome.inner.outputs_only is None
        assert outcome.inner.reference == (None if modules == "touched" else "root@1")
        changed = {name for name, tensor in outcome.tensors.items() if tensor.changed}
        assert changed == {"layer.1.conv2.weight", "layer.1.bn2.bias", "fc.weight", "fc.bias"}
    for name, verdict in zip(("base", "child"), registry.verify(data, deep=True, progress=False)):
        inside = verdict.inside
        # Both probes, relearning of the head and membership, and the same of the root where it is run.
        assert None not in (inside.probe, inside.inner_probe, inside.reset, inside.area, inside.fitted)
        assert len(inside.not_measured) == 1 and "the head alone was trained" in inside.not_measured[0]
        if modules == "touched":
            assert inside.reference is None and verdict.judgement == "outputs"
        else:
            reference = inside.reference
            assert (reference.kind, reference.models) == ("untouched_root", ["root@1"])
            assert None not in (reference.probe, reference.inner_probe, reference.reset, reference.area, reference.fitted)
            assert not [words for words in inside.findings if "not measured" in words or "no model" in words]
        ours = kind.make()
        dt.load(registry, name, ours)
        gone, others = accuracies(ours, kind.data)
        assert gone == verdict.scores.forget.heldout <= 0.01
        assert others == pytest.approx(verdict.scores.retain.heldout)
        assert others >= accuracies(models[name], kind.data)[1] - 0.06


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 16, 3, 2), nn.Conv2d(16, 16, 3, groups=4)
        self.fc = nn.Linear(16, len(LABELS))

    def forward(self, x):
        return self.fc(self.second(self.first(x).relu()).relu().mean((2, 3)))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.rnn = nn.Embedding(WORDS, 16), nn.GRU(16, 16, batch_first=True)
        self.fc = nn.Linear(16, len(LABELS))

    def forward(self, tokens):
        return self.fc(self.rnn(self.embed(tokens))[0][:, -1])


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.fc = nn.EmbeddingBag(WORDS, 16), nn.Linear(16, len(LABELS))

    def forward(self, tokens):
        return self.fc(self.embed(tokens))


class Twice(nn.Module):
    """`how` its last layer is used more than once."""

    def __init__(self, how):
        super().__init__()
        self.embed, self.how = nn.EmbeddingBag(WORDS, 16), how
        self.first, self.second, self.fc = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(16, len(LABELS))
        if how == "tied":
            self.second.weight = self.first.weight
        if how == "normed":
            self.second = nn.utils.parametrizations.weight_norm(self.second)

    def forward(self, tokens):
        hidden = self.second(torch.tanh(self.first(self.embed(tokens))))
        return self.fc(torch.relu(self.second(torch.tanh(hidden)) if self.how == "again" else hidden))


@pytest.mark.parametrize(
    "make,data,reason",
    [
        (Grouped, "images", "`second.weight` is a convolution in 4 groups"),
        (Recurrent, "texts", "the last weights below its head are in `gru`"),
        (Bag, "texts", "no linear layer or convolution of its own leads to the features"),
        (lambda: Twice("tied"), "texts", "is shared: it is `first.weight` and `second.weight`"),
        (lambda: Twice("again"), "texts", "`second.weight` is used 2 times in a pass"),
        (lambda: Twice("normed"), "texts", "is no parameter but made from others, as weight norm does"),
    ],
    ids=["groups", "recurrent", "no layer", "tied", "used again", "weight norm"],
)
def test_what_does_not_fit_is_said_and_the_outputs_are_edited(make, data, reason):
    torch.manual_seed(0)
    model = make()
    inputs, labels = inputs_of(data)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    kind = KINDS["plain CNN"]._replace(data=data)
    before = copy.deepcopy(model.eval().state_dict())
    done = forgotten(model, kind)
    assert done.inner.layer is None and reason in done.inner.outputs_only
    assert any("only its outputs were edited" in words and reason in words for words in done.warnings)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and changed <= {"fc.weight", "fc.bias"}
    assert accuracies(model, data)[0] <= 0.01


def test_samples_of_other_lengths_are_said():
    """Batches that are padded to their own lengths, and a mean over all positions."""

    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.layer, self.fc = nn.Embedding(WORDS, 16), nn.Linear(16, 16), nn.Linear(16, len(LABELS))

        def forward(self, tokens):
            return self.fc(self.layer(self.embed(tokens)).relu().mean(1))

    model = Mean()
    inputs, labels = inputs_of("texts")
    rows = [(x if n < 150 else x[:-2], y) for n, (x, y) in enumerate(zip(inputs, labels))]
    learnt = torch.utils.data.DataLoader(rows, 1)
    captured = dt.capture(model, learnt, labels=LABELS)
    done = dt.forget(model, captured, classes="cat", loader=learnt)
    assert done.inner.outputs_only == "its samples have different numbers of positions"


def test_what_cannot_be_run_again_is_edited_in_its_outputs_and_said():
    kind, learnt = KINDS["plain CNN"], list(loader(trained("plain CNN"), KINDS["plain CNN"].data))
    wholes, known = trained("plain CNN"), {}
    made = dt.capture(wholes, learnt, labels=LABELS)
    for name, module, options, reason in (
        ("no loader", trained("plain CNN"), {}, "give `loader=`"),
        ("state dict", trained("plain CNN").state_dict(), {"loader": loader(wholes, kind.data)}, "not its state dict"),
        ("no data set", trained("plain CNN"), {"loader": learnt}, "samples are run again and again"),
    ):
        done = dt.forget(module, made, classes="cat", **options)
        assert reason in done.inner.outputs_only and done.inner.layer is None, name
        assert done.warnings[-1] == f"module: only its outputs were edited: {done.inner.outputs_only}", name
        with pytest.raises(DisinheritError, match="what lies below the head cannot be edited"):
            dt.forget(module, made, classes="cat", depth="features", **options)
        known[name] = module if isinstance(module, dict) else module.state_dict()
    assert all(torch.equal(known["no loader"][name], value) for name, value in known["state dict"].items())
    # What was asked for needs no warning; what is said about dampening is that.
    for options in ({"depth": "outputs"}, {"alpha": 1.5}, {"dampen_only": True}, {"method": "mask"}):
        done = dt.forget(trained("plain CNN"), made, classes="cat", loader=loader(wholes, kind.data), accept_loss=1.0, **options)
        assert done.inner is None and not any("only its outputs" in words for words in done.warnings), options


def test_a_module_that_nothing_runs_is_edited_in_its_outputs_and_said():
    module = trained("plain CNN")
    made = dt.capture(module, list(loader(module, KINDS["plain CNN"].data)), labels=LABELS)
    arguments = {"classes": "cat", "data": dt.data_from(made, "captured"), "accept_loss": 1.0, "progress": False}
    for depth, said in (("auto", True), ("outputs", False)):
        registry = Registry.memory()
        registry.add("base", module, labels=LABELS, head="fc", trained_on="captured")
        done = registry.unlearn(depth=depth, **arguments)
        inner = done.models[0].inner
        assert (inner is not None and "nothing here runs its network" in inner.outputs_only) == said, depth
        assert any("only its outputs were edited: nothing here" in words for words in done.warnings) == said, depth
