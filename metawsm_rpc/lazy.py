"""Modules that are imported at first use: a look must not wait for modules that only other verbs need."""

from importlib import import_module
from typing import Any


class LazyModule:
    """A placeholder for a module, which it imports when an attribute is accessed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
