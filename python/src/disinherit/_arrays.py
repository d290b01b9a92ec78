"""Types of arrays. Importing NumPy takes longer than all else here: what only annotates imports this for type checkers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: An array of single precision.
Floats = NDArray[np.float32]
