"""From energy to carbon: grams with a 95 % interval, of a place and a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from . import _native
from ._times import microseconds, now_microseconds
from .carbon_models import CarbonEstimate

#: What the coarse regions of carbon-ops 0.1 are taken for.
_OLD_REGIONS = {
    "us-east": "us-east-1",
    "us-west": "us-west-2",
    "us-central": "us-central1",
    "eu-west": "eu-west-1",
    "eu-north": "eu-north-1",
    "asia-pacific": "ap-southeast-1",
}

#: Kinds of sites, as carbon-ops 0.1 named them, and their PUE.
_SITES = {
    "cloud-hyperscale": "cloud-hyperscale",
    "enterprise": "enterprise",
    "on-premise": "on-premise",
    "edge": "tn(1.4, 0.2, min=1)",
}

_HOUR = 3_600_000_000


def _place(region: str | None) -> str | None:
    if region is None or region == "global-average":
        return "world" if region else None
    new = _OLD_REGIONS.get(region)
    if new is not None:
        warnings.warn(
            f"the region {region!r} of carbon-ops 0.1 was one made-up number for many grids; {new!r} is taken. "
            "Name a country, a state or a cloud region.",
            DeprecationWarning,
            stacklevel=4,
        )
        return new
    return region


def _energy(energy_wh: object) -> str:
    if isinstance(energy_wh, str):
        return energy_wh
    if isinstance(energy_wh, bool) or not isinstance(energy_wh, (int, float)):
        raise TypeError(f"{energy_wh!r} is no energy in Wh, and no text such as '1.2kWh ± 2%'")
    if not 0.0 <= energy_wh < float("inf"):
        raise ValueError(f"{energy_wh!r} Wh is no energy")
    return f"{energy_wh!r}Wh"


#: How far a value that somebody declares may be off, as a coefficient of variation (docs/method.md, section 4).
_DECLARED_CV = 0.15


def _intensity(stated: float | str | None) -> str | None:
    if stated is None or isinstance(stated, str):
        return stated
    if not 0.0 <= stated < float("inf"):
        raise ValueError(f"{stated!r} g/kWh is no intensity")
    return f"ln({stated!r}, {_DECLARED_CV})g/kWh" if stated > 0 else "0g/kWh"


class CarbonEstimator:
    """Prices energy.

    Args:
        region: Where it was used: a country, a state, a cloud region, coordinates. Without it, what environment and
            configuration file say, else the world, which is a fallback.
        datacenter_type: ``cloud-hyperscale``, ``enterprise``, ``on-premise`` or ``edge``, for the PUE. Without it and
            without ``custom_pue``, what is published of the region, else what the kind of this machine has.
        custom_carbon_intensity: Grid intensity in g/kWh. A text says what is not known of it: ``"400 ± 10%"``. A number
            does not, and is taken for a declared value, with the prior of those (15 %, one standard deviation).
        custom_pue: PUE, a number of at least 1 or a text such as ``"1.2 ± 0.1"``.
        intensity_provider: Names of sources, the best first: ``electricity_maps``, ``watttime``, ``gb``, ``static``,
            ``egrid``, ``file``.
        missing_policy: What time without a value is priced with: ``step``, ``interpolate`` or ``drop``.
        market: A file of contracts and residual mixes, for scope 2 by the market.
        labels: Labels of every record.
        environment: Whether environment variables and the configuration file are looked at.

    Raises:
        UnknownPlaceError: for a place that no table knows.
        CarbonOpsError: for a PUE or an intensity that is none.
    """

    def __init__(
        self,
        region: str | None = None,
        datacenter_type: str | None = None,
        *,
        custom_carbon_intensity: float | str | None = None,
        custom_pue: float | str | None = None,
        intensity_provider: str | Iterable[str] | None = None,
        config: object = None,
        missing_policy: str | None = None,
        market: str | None = None,
        labels: Mapping[str, str] | None = None,
        environment: bool = True,
    ) -> None:
        if config is not None:
            raise TypeError("config is read from the environment and its file; see `carbon-ops config show`")
        if datacenter_type is not None and datacenter_type not in _SITES:
            raise ValueError(f"datacenter_type {datacenter_type!r} is none of {', '.join(_SITES)}")
        if isinstance(intensity_provider, str):
            intensity_provider = [intensity_provider]
        sources = list(intensity_provider or [])
        if not all(isinstance(name, str) for name in sources):
            raise TypeError("intensity_provider is the name of a source, or several names")
        pue = custom_pue if custom_pue is not None else _SITES.get(datacenter_type or "")
        self.region = region
        self.datacenter_type = datacenter_type
        self._stated: dict[str, Any] = {
            "pue": None if pue is None else str(pue),
            "intensity": _intensity(custom_carbon_intensity),
            "sources": sources,
            "missing": missing_policy,
            "market": market,
            "labels": [(str(key), str(value)) for key, value in (labels or {}).items()],
            "environment": environment,
        }
        self._of: dict[tuple[Any, ...], _native.Estimator] = {}
        self._priced_by(region)

    def _priced_by(
        self, region: str | None, missing: str | None = None, seed: int | None = None, trials: int | None = None
    ) -> _native.Estimator:
        key = (region, missing, seed, trials)
        if key not in self._of:
            stated = dict(self._stated)
            if missing is not None:
                stated["missing"] = missing
            self._of[key] = _native.Estimator(_place(region), seed=seed, trials=trials, **stated)
        return self._of[key]

    def estimate_over_span(
        self,
        *,
        start_ts: datetime | str | float,
        end_ts: datetime | str | float,
        energy_wh: float | str | None = None,
        power_watts: float | None = None,
        region: str | None = None,
        bucket_minutes: int | None = None,
        missing_policy: str | None = None,
        return_dataclass: bool = True,
        audit_mode: bool = False,
        monte_carlo_iterations: int | None = None,
        monte_carlo_alpha: float = 0.05,
        monte_carlo_seed: int | None = 42,
    ) -> CarbonEstimate:
        """Emissions of an energy that was used evenly over a span.

        ``energy_wh`` may be a text with its unit and what is not known of it, such as ``"1.2kWh ± 2%"``. With
        ``audit_mode`` the interval is sampled. ``bucket_minutes`` changes no number and is accepted for old callers.

        Raises:
            ValueError: for an energy that is none, a span without a length, an interval other than 95 %.
        """
        del bucket_minutes, return_dataclass
        if monte_carlo_alpha != 0.05:
            raise ValueError("intervals are of 95 %: monte_carlo_alpha is 0.05")
        start, end = microseconds(start_ts), microseconds(end_ts)
        if end <= start:
            raise ValueError("end_ts is after start_ts")
        if energy_wh is None:
            if power_watts is None:
                raise ValueError("either energy_wh or power_watts is needed")
            energy_wh = float(power_watts) * (end - start) / _HOUR
        elif power_watts is not None:
            raise ValueError("energy_wh and power_watts say two things")
        seed = (42 if monte_carlo_seed is None else monte_carlo_seed) if audit_mode else None
        native = self._priced_by(
            self.region if region is None else region,
            missing_policy,
            seed,
            monte_carlo_iterations if audit_mode else None,
        )
        return CarbonEstimate(native.over_span(_energy(energy_wh), start, end))

    def estimate_from_energy(
        self,
        energy_wh: float | str,
        *,
        timestamp: datetime | str | float | None = None,
        region: str | None = None,
        return_dataclass: bool = True,
    ) -> CarbonEstimate:
        """Emissions of an energy, with the grid of the hour up to ``timestamp``, or up to now."""
        del return_dataclass
        end = now_microseconds() if timestamp is None else microseconds(timestamp)
        native = self._priced_by(self.region if region is None else region)
        return CarbonEstimate(native.over_span(_energy(energy_wh), end - _HOUR, end))

    def estimate_from_power_time(
        self,
        power_watts: float,
        duration_seconds: float,
        *,
        timestamp: datetime | str | float | None = None,
        region: str | None = None,
        return_dataclass: bool = True,
    ) -> CarbonEstimate:
        """Emissions of a mean power over a time that ends at ``timestamp``, or now."""
        del return_dataclass
        if not 0.0 < duration_seconds < float("inf"):
            raise ValueError(f"{duration_seconds!r} s is no duration")
        end = now_microseconds() if timestamp is None else microseconds(timestamp)
        native = self._priced_by(self.region if region is None else region)
        energy = _energy(float(power_watts) * duration_seconds / 3600.0)
        return CarbonEstimate(native.over_span(energy, end - round(duration_seconds * 1e6), end))

    def estimate_many(
        self,
        energies_wh: Iterable[float],
        *,
        start_ts: datetime | str | float,
        end_ts: datetime | str | float,
        region: str | None = None,
    ) -> list[tuple[float, float, float]]:
        """Grams and the ends of their 95 % interval for each of many energies over one span, without their records."""
        native = self._priced_by(self.region if region is None else region)
        return native.many([energy / 1000.0 for energy in energies_wh], microseconds(start_ts), microseconds(end_ts))

    def estimate_measured(self, measured: _native.Measured, *, region: str | None = None) -> CarbonEstimate:
        """Emissions of what :class:`EnergyLogger` or :func:`measure` measured, with the grid of its own time."""
        return CarbonEstimate(self._priced_by(self.region if region is None else region).measured(measured))

    def compare_carbon_equivalents(self, carbon_kgco2: float) -> dict[str, str]:
        """What emits as much, in texts: km by car, days of a tree, charges of a telephone."""
        _, equivalents = _native.label(carbon_kgco2 * 1000.0)
        texts = {"carbon_kgco2": f"{carbon_kgco2:.4f}"}
        texts.update({name: f"{count:.3g}" for name, count in equivalents})
        return texts

    def get_carbon_label(self, energy_wh: float | str) -> dict[str, Any]:
        """A rating with equivalents; the bounds are those of carbon-ops 0.1, which are a convention."""
        estimate = self.estimate_from_energy(energy_wh)
        grams = estimate["carbon_emissions_gco2"]
        rating, _ = _native.label(grams)
        return {
            "carbon_label": {
                "rating": rating,
                "region": estimate["region"],
                "datacenter_type": self.datacenter_type,
                "estimates": estimate.to_dict(),
                "equivalents": self.compare_carbon_equivalents(grams / 1000.0),
                "timestamp": None,
            }
        }

    @staticmethod
    def get_available_regions() -> dict[str, float]:
        """The built-in places, and the mean intensity of each in g/kWh."""
        return {zone: grams for zone, _, grams in _native.zones()}

    @staticmethod
    def get_available_datacenter_types() -> dict[str, str]:
        """Kinds of sites, and the PUE that each stands for."""
        return dict(_SITES)
