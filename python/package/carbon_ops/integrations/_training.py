"""What the callbacks have in common: one training is one measurement."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..measuring import Measurement, measure


class Training:
    """One training, measured from its begin to its end; what fails beside it never stops it."""

    #: Of the last training.
    measurement: Measurement | None = None

    def __init__(self, name: str = "training", **measured: Any) -> None:
        self._make: Callable[[], Measurement] = lambda: measure(name, **measured)
        # What is typed wrong is told now, and not after hours.
        self._make()

    def begin(self) -> None:
        """A training begins; a second begin within one changes nothing."""
        if self.measurement is None or self.measurement._block is None:
            self.measurement = self._make()
            self.measurement.__enter__()

    def end(self) -> None:
        """It has ended, in whatever way."""
        if self.measurement is not None:
            self.measurement.__exit__(None, None, None)

    def logs(self) -> dict[str, float]:
        """Figures for the framework's own log; empty where nothing was measured."""
        estimate = self.measurement.estimate if self.measurement is not None else None
        if estimate is None:
            return {}
        return {
            "carbon_ops_energy_kwh": estimate.energy_kwh,
            "carbon_ops_gco2e": estimate.grams,
            "carbon_ops_gco2e_low": estimate.ci_lower_g,
            "carbon_ops_gco2e_high": estimate.ci_upper_g,
        }
