"""Modules of your own: capture what goes into their heads, and make them forget, in place.

>>> from disinherit.torch import capture, forget
>>> forget(model, capture(model, loader, labels=names), classes=["cat"])
"""

from .._capture import Capture, data_from
from .._forgotten import Forgotten
from ._capture import capture, data_of
from ._fisher import inner_fisher
from ._forget import forget, load, state_dict
from ._heads import find_head
from ._samples import samples

__all__ = [
    "Capture",
    "Forgotten",
    "capture",
    "data_from",
    "data_of",
    "find_head",
    "forget",
    "inner_fisher",
    "load",
    "samples",
    "state_dict",
]
