"""Modules that are imported by their first use: a look must not wait for what only other verbs need."""

from importlib import import_module
from typing import Any


class LazyModule:
    """Stands for a module, and imports it when something of it is asked for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
