"""Sums in which shared errors stay shared."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from . import _native
from .carbon_models import CarbonEstimate


def aggregate_estimates(estimates: Iterable[CarbonEstimate], *, by: str | None = None) -> dict[str, dict[str, Any]]:
    """Sums over estimates, each counted once, with the 95 % interval of each sum.

    Args:
        estimates: What is added up.
        by: ``all``, ``region``, ``source``, ``day``, ``host``, ``scope``, ``precision`` or ``label:NAME``.

    Raises:
        ValueError: for another ``by``.
    """
    records = [estimate.record_json for estimate in estimates]
    if not records:
        return {}
    return dict(json.loads(_native.aggregate(records, by or "all"))["groups"])
