"""Log records of the engine for Python's ``logging``; public as :func:`disinherit.enable_logging`."""

from __future__ import annotations

import logging
from typing import Union

from ._disinherit import log_from


def enable_logging(level: Union[int, str] = logging.INFO) -> None:
    """Hand what happens in the engine to Python's ``logging``, from this level on.

    The loggers are ``disinherit`` and those below it, such as ``disinherit.prepared`` (requests that are planned),
    ``disinherit.publish`` and ``disinherit.registry.registry``; their own levels and handlers decide what becomes of a
    record. A request and a publication are told at ``INFO``, each piece of work at ``DEBUG``. Called again, another
    level holds.
    """
    number = level if isinstance(level, int) else logging.getLevelName(level.upper())
    if not isinstance(number, int):
        raise ValueError(f"`level={level!r}` is no level of `logging`")
    log_from(max(0, min(number, 255)))
