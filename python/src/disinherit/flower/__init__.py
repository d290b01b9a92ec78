"""Federated learning with Flower: every round on record, so that a class or a client can be forgotten.

>>> from disinherit.flower import LineageStrategy
>>> strategy = LineageStrategy(FedAvg(), registry, labels=names, every=5)
>>> strategy.start(grid, initial_arrays=arrays, num_rounds=20)
>>> strategy.forget(data, client="hospital-2")              # or, where no data may come here:
>>> strategy.unlearn(grid, client="hospital-2")
>>> strategy.start(grid, initial_arrays=strategy.arrays, num_rounds=5)

Clients say who they are, and on what samples they train, with :func:`provenance` in their replies. With :func:`card` and
:func:`answer` they compute FIM cards where their data is.
"""

from ._records import CARDS, RECORD, Network, answer, card, cards, provenance
from ._strategy import LineageStrategy

__all__ = ["CARDS", "RECORD", "LineageStrategy", "Network", "answer", "card", "cards", "provenance"]
