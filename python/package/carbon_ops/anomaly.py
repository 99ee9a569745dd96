"""Whether the last of some values stands out."""

from __future__ import annotations

from collections.abc import Sequence

from . import _native


def detect_anomalies(
    series: Sequence[float], window: int = 5, z_thresh: float | None = None, *, robust: bool = False
) -> tuple[bool, float]:
    """Whether the last value stands out from the ``window`` values before it, and by how many of their spreads.

    Without ``z_thresh`` the limit is the one that 0.27 % of ordinary values exceed, which depends on the window: 3, the
    limit of carbon-ops 0.1, is exceeded by 7 % of them with a window of 5.
    """
    found, score = _native.anomaly([float(value) for value in series], max(3, window), z_thresh, robust)
    return found, abs(score)
