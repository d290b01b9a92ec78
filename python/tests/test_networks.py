"""Networks of any framework, here of plain NumPy: inner layers in a registry, external samples."""

import dataclasses

import numpy as np
import pytest

from disinherit import Data, DisinheritError, PenultimateLayer, Registry

LABELS = ["ant", "bee", "cat"]
INNER = ["body.weight", "body.bias"]


def samples(seed, count=240):
    chance = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    return 2 * np.eye(3, 6)[labels] + chance.normal(size=(count, 6)), labels


def softmax(logits):
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def forward(weights, inputs):
    hidden = np.tanh(inputs @ weights["body.weight"].T + weights["body.bias"])
    return hidden, hidden @ weights["fc.weight"].T + weights["fc.bias"]


def gradients(weights, inputs, residuals):
    """Of each sample's residuals times logits, with respect to every parameter."""
    hidden, _ = forward(weights, inputs)
    delta = residuals @ weights["fc.weight"] * (1 - hidden**2)
    return {
        "body.weight": delta[:, :, None] * inputs[:, None, :],
        "body.bias": delta,
        "fc.weight": residuals[:, :, None] * hidden[:, None, :],
        "fc.bias": residuals,
    }


def trained(rounds, start=None):
    chance = np.random.default_rng(0)
    weights = start or {
        "body.weight": chance.normal(size=(5, 6)) * 0.4,
        "body.bias": np.zeros(5),
        "fc.weight": chance.normal(size=(3, 5)) * 0.4,
        "fc.bias": np.zeros(3),
    }
    inputs, labels = samples(1)
    for _ in range(rounds):
        residuals = softmax(forward(weights, inputs)[1]) - np.eye(3)[labels]
        slopes = gradients(weights, inputs, residuals)
        weights = {name: value - 0.5 * slopes[name].mean(0) for name, value in weights.items()}
    return {name: value.astype(np.float32) for name, value in weights.items()}


class Plain:
    """Runs the two layers on samples that only it has."""

    def __init__(self):
        self.inputs = np.concatenate([samples(1)[0], samples(2)[0]])
        self.ids = [f"sample-{n}" for n in range(len(self.inputs))]
        self.asked = 0

    def rows(self, ids):
        self.asked += len(ids)
        return self.inputs[[int(name.split("-")[1]) for name in ids]]

    def inner_tensors(self, model, head):
        assert head == "fc" and model in ("base", "child")
        return INNER

    def capture(self, model, head, weights, ids):
        inputs = self.rows(ids)
        for at in range(0, len(ids), 100):
            hidden, logits = forward(weights, inputs[at : at + 100])
            yield hidden.astype(np.float32), logits.astype(np.float32)

    def inner_squares(self, model, head, weights, ids, residuals, wanted):
        found = gradients(weights, self.rows(ids), residuals.astype(np.float64))
        yield len(ids)
        for name in wanted:
            yield name, (found[name] ** 2).sum(0)


def data(networks):
    labels = np.concatenate([samples(1)[1], samples(2)[1]])
    heldout = np.repeat([False, True], 240)
    ids = [f"sample-{n}" for n in range(480)]
    return Data.external(networks, labels, LABELS, ids=ids[:240], heldout_ids=ids[240:], heldout=heldout, name="x")


@pytest.fixture(scope="module")
def family():
    base = trained(400)
    return {"base": base, "child": trained(50, start=base)}


@pytest.fixture()
def registry(tmp_path, family):
    made = Registry.create(tmp_path)
    for name, weights in family.items():
        made.add(name, weights, labels=LABELS, head="fc", parents=[] if name == "base" else ["base"], trained_on="x")
    return made


def values(registry, model):
    return {
        name: raw.view(np.float32).reshape(shape) for name, (_, shape, raw) in registry.tensors(model).items()
    }


def test_every_layer_of_a_family_is_dampened_as_by_hand(registry, family):
    alpha, lambda_ = 1.2, 0.5
    registry.unlearn(
        classes="cat",
        initial="base",
        data=data(Plain()),
        layers="all",
        alpha=alpha,
        lambda_=lambda_,
        raw=True,
        dampen_only=True,
        progress=False, accept_loss=1.0,
    )
    inputs, labels = samples(1)

    def fisher(weights, picked):
        weights = {name: value.astype(np.float64) for name, value in weights.items()}
        residuals = softmax(forward(weights, inputs[picked])[1]) - np.eye(3)[labels[picked]]
        found = gradients(weights, inputs[picked], residuals)
        return {name: (value**2).mean(0) for name, value in found.items()}

    forget = fisher(family["base"], labels == 2)
    changed = 0
    for model, weights in family.items():
        own, new = fisher(weights, labels >= 0), values(registry, model)
        for name, value in weights.items():
            factor = np.where(forget[name] > alpha * own[name], np.minimum(lambda_ * own[name] / forget[name], 1), 1)
            assert np.allclose(new[name], value * factor, rtol=1e-4, atol=1e-6), (model, name)
            changed += (factor < 1).sum() if name in INNER else 0
    assert changed > 5


def test_a_family_forgets_and_is_judged_by_what_it_is_now(registry, family, tmp_path):
    networks = Plain()
    everywhere = data(networks)
    assert len(everywhere) == 480 and everywhere.train_ids[0] == "sample-0"
    assert registry.fisher(["base", "child"], everywhere, layers="all", progress=False) == 2
    asked = networks.asked
    registry.unlearn(classes="cat", initial="base", data=everywhere, layers="all", progress=False, accept_loss=1.0)
    assert networks.asked > asked
    inputs, labels = samples(2)
    for model, verdict in zip(family, registry.verify(everywhere, progress=False)):
        said = forward(values(registry, model), inputs)[1].argmax(1)
        assert verdict.passed is True
        scores = verdict.scores
        assert scores.forget.heldout == (said == labels)[labels == 2].mean()
        assert scores.retain.heldout == pytest.approx((said == labels)[labels != 2].mean())
        new = values(registry, model)
        assert any(not np.array_equal(new[name], value) for name, value in family[model].items())
    registry.report(tmp_path / "page.html", everywhere, progress=False)
    assert "child" in (tmp_path / "page.html").read_text()


class Deep(Plain):
    """Says what its layer reads and writes, too."""

    def penultimate(self, model, head, weights, ids):
        yield PenultimateLayer(
            weight="body.weight", bias="body.bias", shift=None, scale=np.ones(5, np.float32), window=(1, 1, 0)
        )
        inputs = self.rows(ids)
        for at in range(0, len(ids), 100):
            read = inputs[at : at + 100].astype(np.float32)
            written = read @ weights["body.weight"].T + weights["body.bias"]
            yield read[:, None, None], np.ascontiguousarray(written[:, None, None], np.float32)


def test_features_forget_in_networks_of_any_framework(registry):
    options = dict(classes="cat", initial="base", target_loss=0.1, progress=False)
    would = registry.unlearn(data=data(Plain()), dry_run=True, **options)
    for outcome in would.models:
        assert outcome.inner.outputs_only == "what runs it does not say what its layers read"
        assert any("only their outputs were edited" in words for words in would.warnings)
    everywhere = data(Deep())
    done = registry.unlearn(data=everywhere, **options)
    for outcome in done.models:
        assert outcome.inner.layer == "body.weight" and outcome.inner.outputs_only is None, outcome.inner
        assert outcome.tensors["body.weight"].changed > 0
    for verdict in registry.verify(everywhere, deep=True, progress=False):
        assert verdict.passed and verdict.judgement == "outputs" and verdict.inside.reference is None
        assert verdict.inside.inner_probe.mean > 0.7 and len(verdict.inside.not_measured) == 1
    # Without the layer, what is below the features is not looked at, and that is said.
    for verdict in registry.verify(data(Plain()), deep=True, progress=False):
        assert verdict.inside.inner_probe is None and verdict.inside.reset is not None
        assert "what layers below the features still tell of it" in verdict.inside.not_measured


class Misfit(Deep):
    """Gives something else: `wrong` of the description and the batches."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong = wrong

    def penultimate(self, model, head, weights, ids):
        yield from self.wrong(*super().penultimate(model, head, weights, ids))


@pytest.mark.parametrize(
    "wrong,words",
    [
        (lambda about, *batches: [], "it gave nothing"),
        (lambda about, *batches: [*batches], "must give a reason, or a `PenultimateLayer`"),
        (lambda about, *batches: [about], "it gave 0 of 8 samples"),
        (lambda about, *batches: [about, *((read[:, 0], made) for read, made in batches)], "4 dimensions"),
        (lambda about, *batches: [about, *((read * np.float32("nan"), made) for read, made in batches)], "one value is NaN"),
        (lambda about, *batches: [dataclasses.replace(about, window=(3, 1, 0)), *batches], "the stream has 8 samples"),
        (lambda about, *batches: [dataclasses.replace(about, window=(0, 0, 0)), *batches], "no window like"),
        (lambda about, *batches: [dataclasses.replace(about, weight="body.w"), *batches], "`body.w`, which is not there"),
        (lambda about, *batches: [dataclasses.replace(about, scale=np.ones(4, np.float32)), *batches], "24 values for `body.weight`, which has 30"),
        (lambda about, *batches: [dataclasses.replace(about, shift=("body.bias", np.ones(4, np.float32))), *batches], "the batch norm 4"),
    ],
    ids=["nothing", "no description", "no batch", "dimensions", "NaN", "window", "no window", "name", "channels", "shift"],
)  # fmt: skip
def test_what_is_wrong_with_a_layer_is_said(registry, wrong, words):
    with pytest.raises(DisinheritError, match=words):
        registry.unlearn(
            classes="cat", initial="base", data=data(Misfit(wrong)), depth="features", progress=False, accept_loss=1.0
        )
    assert [model.id for model in registry.models()] == ["base@1", "child@1"]


class Raising(Plain):
    def capture(self, model, head, weights, ids):
        raise KeyError("of the user's own making")


class Refusing(Plain):
    def inner_tensors(self, model, head):
        raise DisinheritError("not today")


class Short(Plain):
    def capture(self, model, head, weights, ids):
        yield next(super().capture(model, head, weights, ids))


class Wide(Plain):
    def capture(self, model, head, weights, ids):
        for hidden, logits in super().capture(model, head, weights, ids):
            yield hidden.astype(np.float64), logits


class Endless(Plain):
    def capture(self, model, head, weights, ids):
        for hidden, logits in super().capture(model, head, weights, ids):
            yield hidden * np.float32("inf"), logits


class Forgetful(Plain):
    def inner_squares(self, model, head, weights, ids, residuals, wanted):
        yield "body.bias", np.zeros(5)


class Misshapen(Plain):
    def inner_squares(self, model, head, weights, ids, residuals, wanted):
        yield "body.bias", np.zeros(7)


class Negative(Plain):
    def inner_squares(self, model, head, weights, ids, residuals, wanted):
        yield "body.bias", -np.ones(5)


@pytest.mark.parametrize(
    "networks,error,words",
    [
        (Raising(), KeyError, "own making"),
        (Refusing(), DisinheritError, "`base@1` cannot be run: not today"),
        (Short(), DisinheritError, "features are of 100 samples, not of 240"),
        (Wide(), DisinheritError, "float32"),
        (Endless(), DisinheritError, "not all finite"),
        (Forgetful(), DisinheritError, "no sums for `body.weight`"),
        (Misshapen(), DisinheritError, r"the sums of `body.bias` are \[7\], the model has \[5\]"),
        (Negative(), DisinheritError, "at least 0"),
        (object(), AttributeError, "inner_tensors"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Plain) else "",
)
def test_what_networks_do_wrong_is_said_and_nothing_is_published(registry, networks, error, words):
    with pytest.raises(error, match=words):
        registry.unlearn(classes="cat", initial="base", data=data(networks), layers="all", progress=False, accept_loss=1.0)
    assert [model.id for model in registry.models()] == ["base@1", "child@1"]
