"""What dominates a figure: operation, or the making of the hardware."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from typing import Any

from .. import _native
from ..carbon_estimator import CarbonEstimator

THETA_OPERATIONAL_THRESHOLD = 0.15
THETA_MARGINAL_THRESHOLD = 0.30


def get_theta_regime(theta: float) -> str:
    """The class of a θ."""
    return _native.theta(theta)


def compute_theta_fraction(operational_co2: float, embodied_co2: float) -> float:
    """θ = embodied / (operational + embodied).

    Raises:
        ValueError: for negative figures, and where nothing is emitted.
    """
    if operational_co2 < 0 or embodied_co2 < 0 or operational_co2 + embodied_co2 <= 0:
        raise ValueError("θ is of emissions that are not negative, and not both 0")
    return embodied_co2 / (operational_co2 + embodied_co2)


@dataclass
class CarbonTaxonomyMeasurement:
    """One operation."""

    operation: str
    operational_co2_kg: float
    embodied_co2_kg: float
    theta: float
    classification: str
    timestamp: str


class CarbonTaxonomyLogger:
    """Keeps what operations emit and which part of it is hardware.

    Args:
        device: A device of the table, such as ``h100`` or ``server``.
        share: Which part of it the operations have.
        region: As of :class:`CarbonEstimator`.
    """

    def __init__(self, device: str = "server", share: float = 1.0, region: str | None = None) -> None:
        self._total_kg, self._life_hours, self.source = _native.embodied(device)
        self._share = share
        self._estimator = CarbonEstimator(region)
        self.measurements: list[CarbonTaxonomyMeasurement] = []

    def track_operation(self, operation: str, energy_wh: float, duration_seconds: float) -> CarbonTaxonomyMeasurement:
        """Keeps one operation."""
        operational = self._estimator.estimate_from_energy(energy_wh)["carbon_emissions_kgco2"]
        embodied = self._total_kg * (duration_seconds / 3600.0) / self._life_hours * self._share
        theta = compute_theta_fraction(operational, embodied)
        now = datetime.now(timezone.utc).isoformat()
        kept = CarbonTaxonomyMeasurement(operation, operational, embodied, theta, get_theta_regime(theta), now)
        self.measurements.append(kept)
        return kept

    def get_taxonomy_summary(self) -> dict[str, Any]:
        """Sums over what was kept; ``dominant_class`` is that of the sums."""
        kept = self.measurements
        if not kept:
            return {"measurement_count": 0}
        operational = sum(each.operational_co2_kg for each in kept)
        embodied = sum(each.embodied_co2_kg for each in kept)
        thetas = [each.theta for each in kept]
        viable = sum(not each.classification.startswith("C-NP") for each in kept)
        return {
            "measurement_count": len(kept),
            "avg_theta": sum(thetas) / len(thetas),
            "min_theta": min(thetas),
            "max_theta": max(thetas),
            "total_operational_kg": operational,
            "total_embodied_kg": embodied,
            "dominant_class": get_theta_regime(compute_theta_fraction(operational, embodied)),
            "optimization_viable_pct": 100.0 * viable / len(kept),
        }

    def export_to_json(self, filepath: str | os.PathLike[str]) -> None:
        """Writes what was kept."""
        with open(filepath, "w", encoding="utf-8") as file:
            json.dump([asdict(each) for each in self.measurements], file, indent=2)


__all__ = [
    "THETA_MARGINAL_THRESHOLD",
    "THETA_OPERATIONAL_THRESHOLD",
    "CarbonTaxonomyLogger",
    "CarbonTaxonomyMeasurement",
    "compute_theta_fraction",
    "get_theta_regime",
]
