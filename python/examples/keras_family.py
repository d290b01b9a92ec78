"""A network of Keras and a descendant forget a digit, in their features too.

    pip install disinherit keras jax scikit-learn
    KERAS_BACKEND=jax python keras_family.py --forget 3

Keras runs on JAX here: per-sample gradients are JAX's (`jax_networks.py`), the network is Keras's.
"""

import argparse
import os

os.environ["KERAS_BACKEND"] = "jax"

import keras  # noqa: E402
import numpy as np  # noqa: E402

from disinherit import Registry  # noqa: E402
from jax_networks import digits, external, report, values  # noqa: E402

LABELS = [str(digit) for digit in range(10)]
LAYERS = ["first", "body", "head"]


def network():
    images = keras.Input((64,))
    read = keras.layers.Dense(64, activation="relu", name="first")(images)
    written = keras.layers.Dense(32, name="body")(read)
    features = keras.layers.Activation("relu")(written)
    logits = keras.layers.Dense(len(LABELS), name="head")(features)
    return keras.Model(images, logits), keras.Model(images, [read, written, features])


def tensors(model):
    """Keras's weights by the names and in the layout of the registry."""
    found = {}
    for layer in LAYERS:
        kernel, bias = model.get_layer(layer).get_weights()
        found[f"{layer}.weight"], found[f"{layer}.bias"] = np.ascontiguousarray(kernel.T), bias
    return found


def load(model, weights):
    """The way back."""
    for layer in LAYERS:
        model.get_layer(layer).set_weights([weights[f"{layer}.weight"].T, weights[f"{layer}.bias"]])


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--forget", type=int, default=3, choices=range(10))
    chosen = parser.parse_args(arguments)
    keras.utils.set_random_seed(0)
    learnt, heldout = digits()
    model, inner = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss)
    model.fit(*learnt, batch_size=200, epochs=25, verbose=0)

    registry = Registry.memory()
    registry.add("base", tensors(model), labels=LABELS, head="head", trained_on="digits")
    model.fit(learnt[0][:600], learnt[1][:600], batch_size=200, epochs=15, verbose=0)
    registry.add("child", tensors(model), labels=LABELS, head="head", parents="base", trained_on="digits")

    def below(weights, images):
        # In the order in which the network has its variables.
        own = [weights[f"{layer}.{part}"] for layer in LAYERS[:2] for part in ("weight", "bias")]
        own = [value.T if value.ndim == 2 else value for value in own]
        return inner.stateless_call(own, [], images)[0]

    data = external(below, ["body.weight", "body.bias"], learnt, heldout, LABELS)

    def accuracies(weights):
        load(model, weights)
        right = model.predict(heldout[0], verbose=0).argmax(1) == heldout[1]
        return right[heldout[1] == chosen.forget].mean(), right[heldout[1] != chosen.forget].mean()

    found = report(registry, data, accuracies, chosen.forget)
    load(model, values(registry, "child"))
    return found


if __name__ == "__main__":
    main()
