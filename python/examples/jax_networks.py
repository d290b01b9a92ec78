"""Runs networks of JAX for the engine, whatever library describes them: `flax_family.py` and `keras_family.py` use it.

The weights of a model are a mapping of names to arrays, matrices as `[outputs, inputs]` (Flax and Keras have them the other
way round). `below(weights, inputs)` gives what the layer before the features reads, what it writes, and the features;
the head is `head.weight` and `head.bias`.
"""

import jax
import numpy as np

from disinherit import Data, PenultimateLayer

BATCH = 256


class JaxNetworks:
    """The object that `Data.external` takes (`disinherit.DeepNetworks`)."""

    def __init__(self, below, layer, samples):
        #: The samples by their ids, which stay here.
        self.samples = samples
        self.layer = layer

        def parts(weights, inputs):
            read, written, features = below(weights, inputs)
            return read, written, features, features @ weights["head.weight"].T + weights["head.bias"]

        def slope(weights, chosen, sample, residual):
            return (parts({**weights, **chosen}, sample[None])[3][0] * residual).sum()

        def squares(weights, chosen, inputs, residuals):
            slopes = jax.vmap(jax.grad(slope, argnums=1), in_axes=(None, None, 0, 0))(weights, chosen, inputs, residuals)
            return {name: (value**2).sum(0) for name, value in slopes.items()}

        self.parts, self.squares = jax.jit(parts), jax.jit(squares)

    def batches(self, ids):
        """Where a batch starts, how many samples it has, and these: always as many rows, so that JAX compiles once."""
        for at in range(0, len(ids), BATCH):
            inputs = np.stack([self.samples[each] for each in ids[at : at + BATCH]])
            yield at, len(inputs), padded(inputs)

    def inner_tensors(self, model, head):
        return self.layer

    def capture(self, model, head, weights, ids):
        for _, count, inputs in self.batches(ids):
            _, _, features, logits = self.parts(weights, inputs)
            yield np.asarray(features, np.float32)[:count], np.asarray(logits, np.float32)[:count]

    def inner_squares(self, model, head, weights, ids, residuals, wanted):
        sums = {name: np.zeros(weights[name].shape) for name in wanted}
        chosen = {name: weights[name] for name in wanted}
        for at, count, inputs in self.batches(ids):
            # Rows of zeros have no gradient.
            for name, value in self.squares(weights, chosen, inputs, padded(residuals[at : at + count])).items():
                sums[name] += np.asarray(value, np.float64)
            yield count
        yield from sums.items()

    def penultimate(self, model, head, weights, ids):
        weight, bias = self.layer
        ones = np.ones(len(weights[bias]), np.float32)
        yield PenultimateLayer(weight=weight, bias=bias, shift=None, scale=ones, window=(1, 1, 0))
        for _, count, inputs in self.batches(ids):
            read, written, _, _ = self.parts(weights, inputs)
            yield np.asarray(read, np.float32)[:count, None, None], np.asarray(written, np.float32)[:count, None, None]


def padded(rows):
    return np.concatenate([rows, np.zeros((BATCH - len(rows), *rows.shape[1:]), rows.dtype)])


def external(below, layer, train, heldout, names):
    """Data whose samples are run by JAX; `train` and `heldout` are pairs of inputs and labels."""
    inputs = np.concatenate([train[0], heldout[0]])
    ids = [f"digits/{row:04}" for row in range(len(inputs))]
    networks = JaxNetworks(below, layer, dict(zip(ids, inputs)))
    marks = np.arange(len(ids)) >= len(train[0])
    labels = np.concatenate([train[1], heldout[1]])
    count = len(train[0])
    return Data.external(networks, labels, names, ids=ids[:count], heldout_ids=ids[count:], heldout=marks, name="digits")


def digits():
    """Images of scikit-learn and their labels: 1,200 for training, the others held out."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    images, labels = (images[order] / 16).astype(np.float32), labels[order]
    return (images[:1200], labels[:1200]), (images[1200:], labels[1200:])


def values(registry, model):
    """A model's tensors as arrays."""
    tensors = registry.tensors(model).items()
    return {name: raw.view(np.float32).reshape(shape) for name, (_, shape, raw) in tensors}


def report(registry, data, accuracies, digit):
    """Forgets a digit in every model, and says how each does before and after; `accuracies` is of a model's weights."""
    names = [model.name for model in registry.models()]
    before = {name: accuracies(values(registry, name)) for name in names}
    done = registry.unlearn(classes=str(digit), data=data, progress=False)
    verdicts = {verdict.model: verdict for verdict in registry.verify(data, progress=False)}
    print(f"forgot {digit} in {len(done.models)} models in {done.seconds:.2f} s")
    print("model   digit before  after  others before  after  layer")
    found = {}
    for outcome in done.models:
        name = outcome.before.split("@")[0]
        after = accuracies(values(registry, name))
        (own, others), (own_now, others_now) = before[name], after
        print(f"{name:8}{own:12.1%}{own_now:7.1%}{others:15.1%}{others_now:7.1%}  {outcome.inner.layer}")
        found[name] = (before[name], after, verdicts[outcome.after].passed, outcome.inner.layer)
    return found
