"""The settings, as environment and configuration file give them."""

from __future__ import annotations

from typing import Any

from .. import _native


def load_config() -> dict[str, dict[str, Any]]:
    """Each setting by its name: ``value``, and ``origin``, which says who gave it."""
    return {name: {"value": value, "origin": origin} for name, value, origin in _native.config_shown()}
