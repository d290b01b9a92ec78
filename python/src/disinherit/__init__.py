"""When training data must be forgotten: make a model, and every model that inherited from it, forget.

A :class:`Registry` keeps models, which of them inherited from which, and what each was trained on. Tell it
what must go, and it edits every affected model in parallel, from the Fisher information of the forget data
on the initial models alone (FIUn, arXiv:2408.08493). :mod:`disinherit.torch` does the same for modules of
your own. What methods give back is described in :mod:`disinherit.results`.
"""

from . import certificates, results, umig
from ._arguments import Checkpoint
from ._data import Data, DeepNetworks, Networks, PenultimateLayer
from ._disinherit import (
    Conflict,
    Damaged,
    DisinheritError,
    InvalidCertificate,
    LosesTooMuch,
    NeedsData,
    NoRegistry,
    NothingRetained,
    NotRunnable,
    RegistryExists,
    StepRefused,
    UnknownLabel,
    UnknownModel,
    UnknownRequest,
    UnusableData,
    UnusableFile,
    WeightsPurged,
    __version__,
    dampen,
    head_fisher,
    merge_cards,
)
from ._desk import Requests
from ._logging import enable_logging
from ._onnx_runtime import use_onnx_runtime
from ._registry import Registry
from .certificates import verify_certificate
from .results import Relation, Training

__all__ = [
    "Checkpoint",
    "Conflict",
    "Damaged",
    "Data",
    "DeepNetworks",
    "DisinheritError",
    "InvalidCertificate",
    "LosesTooMuch",
    "NeedsData",
    "Networks",
    "NoRegistry",
    "NotRunnable",
    "NothingRetained",
    "PenultimateLayer",
    "Registry",
    "RegistryExists",
    "Relation",
    "Requests",
    "StepRefused",
    "Training",
    "UnknownLabel",
    "UnknownModel",
    "UnknownRequest",
    "UnusableData",
    "UnusableFile",
    "WeightsPurged",
    "__version__",
    "certificates",
    "dampen",
    "enable_logging",
    "head_fisher",
    "merge_cards",
    "results",
    "umig",
    "use_onnx_runtime",
    "verify_certificate",
]
