"""How many runs show a difference. Intervals by trials: ``estimate_over_span(audit_mode=True)``."""

from __future__ import annotations

from . import _native


def power_analysis_required_n(
    sd: float = 1.0, effect: float = 0.5, alpha: float = 0.05, power: float = 0.8, *, estimated: bool = False
) -> int:
    """Runs of each of two variants after which a difference of their means of ``effect`` is found with this ``power``.

    ``estimated``: whether ``sd`` is estimated from the same runs.
    """
    return _native.required_runs(sd, effect, alpha, power, estimated)
