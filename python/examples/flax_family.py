"""A network of Flax and a descendant forget a digit, in their features too.

    pip install disinherit flax scikit-learn
    python flax_family.py --forget 3

The engine runs no network here: `jax_networks.py` does, by the protocol `disinherit.DeepNetworks`.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn

from disinherit import Registry
from jax_networks import digits, external, report

LABELS = [str(digit) for digit in range(10)]


class Net(nn.Module):
    """Three layers; the second one's input and output are given back with the features."""

    def setup(self):
        self.first, self.body, self.head = nn.Dense(64), nn.Dense(32), nn.Dense(len(LABELS))

    def below(self, images):
        read = nn.relu(self.first(images))
        written = self.body(read)
        return read, written, nn.relu(written)

    def __call__(self, images):
        return self.head(self.below(images)[2])


NET = Net()


def tensors(params):
    """Flax's parameters by the names and in the layout of the registry."""
    found = {}
    for layer, own in params.items():
        found[f"{layer}.weight"] = np.ascontiguousarray(np.asarray(own["kernel"]).T)
        found[f"{layer}.bias"] = np.asarray(own["bias"])
    return found


def params(weights):
    """The way back."""
    layers = {name.split(".")[0] for name in weights}
    return {layer: {"kernel": weights[f"{layer}.weight"].T, "bias": weights[f"{layer}.bias"]} for layer in layers}


def below(weights, images):
    return NET.apply({"params": params(weights)}, images, method=Net.below)


def train(start, images, labels, steps):
    optimizer = optax.adam(5e-3)
    state = optimizer.init(start)

    def loss(own):
        logits = NET.apply({"params": own}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    @jax.jit
    def step(own, state):
        changes, state = optimizer.update(jax.grad(loss)(own), state)
        return optax.apply_updates(own, changes), state

    for _ in range(steps):
        start, state = step(start, state)
    return start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forget", type=int, default=3, choices=range(10))
    chosen = parser.parse_args(arguments)
    learnt, heldout = digits()
    first = NET.init(jax.random.key(0), jnp.zeros((1, 64)))["params"]
    base = train(first, *learnt, 200)
    child = train(base, learnt[0][:600], learnt[1][:600], 60)

    registry = Registry.memory()
    registry.add("base", tensors(base), labels=LABELS, head="head", trained_on="digits")
    registry.add("child", tensors(child), labels=LABELS, head="head", parents="base", trained_on="digits")
    data = external(below, ["body.weight", "body.bias"], learnt, heldout, LABELS)

    def accuracies(weights):
        right = np.asarray(NET.apply({"params": params(weights)}, heldout[0]).argmax(1)) == heldout[1]
        return right[heldout[1] == chosen.forget].mean(), right[heldout[1] != chosen.forget].mean()

    return report(registry, data, accuracies, chosen.forget)


if __name__ == "__main__":
    main()
