"""Models of an MLflow server: into a registry with their lineage, back as new versions, and the old ones deleted for good.

>>> from disinherit.mlflow import pull, push, purge
>>> pull("http://localhost:5000", registry)
>>> registry.unlearn(classes="cat", data=data)
>>> push("http://localhost:5000", registry, verdicts=registry.verify(data), certificate="certificate.json")
>>> purge("http://localhost:5000", registry, reason="erasure request 17")
"""

from ._pull import Left, Pulled, PulledVersion, pull
from ._purge import PurgedVersion, PurgedVersions, purge
from ._push import Pushed, PushedVersion, push

__all__ = [
    "Left",
    "Pulled",
    "PulledVersion",
    "PurgedVersion",
    "PurgedVersions",
    "Pushed",
    "PushedVersion",
    "pull",
    "purge",
    "push",
]
