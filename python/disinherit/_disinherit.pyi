"""The compiled half of the package. Requests, options and answers are JSON here."""

import os
from typing import Any, Callable, List, Optional, Sequence, Tuple

import numpy as np
from numpy.typing import NDArray

__version__: str

class DisinheritError(Exception): ...

Progress = Optional[Callable[[str, int], Any]]
Table = Tuple[List[str], NDArray[np.float32], Optional[NDArray[np.float32]]]

class Data:
    @staticmethod
    def open(
        source: str,
        size: Optional[Tuple[int, int]] = None,
        tokenizer: Optional[os.PathLike[str] | str] = None,
    ) -> Data: ...
    @staticmethod
    def of_features(
        name: str,
        tables: Sequence[Table],
        labels: NDArray[np.int64],
        label_names: List[str],
        ids: Optional[List[str]],
        heldout: NDArray[np.bool_],
    ) -> Data: ...
    @staticmethod
    def elsewhere(
        name: str,
        labels: NDArray[np.int64],
        label_names: List[str],
        ids: List[str],
        heldout: NDArray[np.bool_],
        networks: Any,
    ) -> Data: ...
    @property
    def label_names(self) -> List[str]: ...
    @property
    def train_ids(self) -> List[str]: ...
    def __len__(self) -> int: ...

class Registry:
    @staticmethod
    def open(place: str, actor: str) -> Registry: ...
    @staticmethod
    def create(place: str, catalog: Optional[str], actor: str) -> Registry: ...
    @staticmethod
    def memory(actor: str) -> Registry: ...
    @property
    def address(self) -> str: ...
    def add_file(self, path: str, spec: str) -> str: ...
    def add_tensors(
        self, tensors: Sequence[Tuple[str, str, List[int], NDArray[np.uint8]]], spec: str
    ) -> str: ...
    def models(self) -> str: ...
    def graph(self) -> str: ...
    def show(self, model: str) -> str: ...
    def log(self) -> str: ...
    def undo(self, operation: int) -> str: ...
    def fisher(
        self, models: List[str], data: Data, layers: str, again: bool, progress: Progress
    ) -> int: ...
    def plan(self, request: str) -> str: ...
    def unlearn(
        self, request: str, data: Optional[Data], options: str, progress: Progress
    ) -> str: ...
    def verify(
        self,
        data: Data,
        models: List[str],
        request: Optional[str],
        at_most: float,
        progress: Progress,
    ) -> str: ...
    def report(self, path: str, data: Optional[Data], progress: Progress) -> None: ...
    def export(self, model: str, path: str) -> None: ...
    def tensor_names(self, model: str) -> List[Tuple[str, str, List[int]]]: ...
    def tensor(self, model: str, name: str) -> NDArray[np.uint8]: ...

def dampen(
    values: NDArray[np.float32],
    own: NDArray[np.float32],
    forget: NDArray[np.float32],
    alpha: float,
    lambda_: float = 1.0,
) -> int: ...
def head_fisher(
    features: NDArray[np.float32],
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
) -> Tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.uint64]]: ...
