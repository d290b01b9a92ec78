"""What all results have in common."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Dict


class Record:
    """What all results have in common."""

    def to_dict(self) -> Dict[str, Any]:
        """The same as plain values, ready for JSON."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]
