"""What an energy emits, as Python sees a record."""

from __future__ import annotations

import json
from typing import Any, TypedDict


class CarbonEstimateDict(TypedDict, total=False):
    """The members of :meth:`CarbonEstimate.to_dict`: those of carbon-ops 0.1, and what it left out."""

    energy_consumed_wh: float
    energy_consumed_kwh: float
    total_energy_with_pue_kwh: float
    carbon_emissions_gco2: float
    carbon_emissions_kgco2: float
    carbon_emissions_tonnes: float
    carbon_intensity_used_gco2_kwh: float
    intensity_uncertainty: float | None
    provider_version: str | None
    pue_used: float
    meta: dict[str, Any]
    uncertainty_pct: float
    quality_flag: str
    region: str
    source: str
    start_ts: str
    end_ts: str
    coverage_pct: float
    notes: list[str]


def quantity(value: float, unit: str) -> str:
    """Three digits with a prefix: ``1.23 kg``."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")):
        if abs(value) >= factor * 0.9995:
            return f"{value / factor:.3g} {prefix}{unit}"
    return f"{value:.3g} {unit}"


class CarbonEstimate(dict):  # type: ignore[type-arg]
    """Emissions of an energy with their 95 % interval.

    It is a dictionary with the members of :class:`CarbonEstimateDict`, as carbon-ops 0.1 returned, and has the
    members of its record as attributes: ``estimate.grams``, ``estimate.ci_lower_g``, ``estimate.region``.
    """

    record_json: str
    record: dict[str, Any]
    #: Ends of the 95 % interval of the energy in kWh; ``None`` where it is exact.
    energy_interval_kwh: tuple[float, float] | None

    def __init__(self, record_json: str) -> None:
        record = json.loads(record_json)
        ends = record.pop("energy_interval_kwh", None)
        self.record_json = json.dumps(record, separators=(",", ":"), ensure_ascii=False) if ends else record_json
        self.record = record
        self.energy_interval_kwh = tuple(ends) if ends else None
        grams, energy = record["grams"], record["energy_kwh"]
        intensity: dict[str, Any] = next((i for i in record["inputs"] if i["name"] == "intensity"), {})
        sources = record["grid"]["sources"]
        super().__init__(
            energy_consumed_wh=energy * 1000.0,
            energy_consumed_kwh=energy,
            total_energy_with_pue_kwh=record["total_energy_with_pue_kwh"],
            carbon_emissions_gco2=grams,
            carbon_emissions_kgco2=grams / 1e3,
            carbon_emissions_tonnes=grams / 1e6,
            carbon_intensity_used_gco2_kwh=record["intensity_g_per_kwh"],
            intensity_uncertainty=None,
            intensity_distribution=intensity.get("dist"),
            provider_version=sources[0].get("model_version") if sources else None,
            pue_used=record["pue_used"],
            meta={key: record["meta"][key] for key in ("method", "ci_lower_g", "ci_upper_g", "confidence_level_pct")},
            uncertainty_pct=record["uncertainty_pct"],
            quality_flag=record["quality_flag"],
            region=record["region"],
            source=record["source"],
            start_ts=record["start_ts"],
            end_ts=record["end_ts"],
            coverage_pct=record["coverage_pct"],
            notes=record["notes"],
        )

    def __getattr__(self, name: str) -> Any:
        record = self.__dict__.get("record", {})
        if name in record:
            return record[name]
        if name in record.get("meta", {}):
            return record["meta"][name]
        raise AttributeError(name)

    def to_dict(self) -> dict[str, Any]:
        """A plain dictionary with the same members."""
        return dict(self)

    def to_ndjson_event(self) -> dict[str, Any]:
        """The whole record, as a ledger keeps it."""
        return dict(self.record)

    def __str__(self) -> str:
        low, high = self["meta"]["ci_lower_g"], self["meta"]["ci_upper_g"]
        energy = quantity(self["energy_consumed_wh"], "Wh")
        grams = quantity(self["carbon_emissions_gco2"], "gCO2e")
        between = f"95 % between {quantity(low, 'g')} and {quantity(high, 'g')}"
        return f"{grams} ({between}) of {energy} in {self['region']}, {self['quality_flag']}"

    def _repr_html_(self) -> str:
        from html import escape

        meta = self["meta"]
        rows = [
            ("Energy", quantity(self["energy_consumed_wh"], "Wh")),
            ("Carbon", quantity(self["carbon_emissions_gco2"], "gCO2e")),
            ("95 % between", f"{quantity(meta['ci_lower_g'], 'g')} and {quantity(meta['ci_upper_g'], 'g')}"),
            ("Grid", f"{self['carbon_intensity_used_gco2_kwh']:.0f} g/kWh, {self['region']} by {self['source']}"),
            ("PUE", f"{self['pue_used']:.2f}"),
            ("Quality", self["quality_flag"]),
        ]
        cells = "".join(
            f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
            f'<td style="text-align:left">{escape(str(value))}</td></tr>'
            for name, value in rows
        )
        return f"<table><caption>carbon-ops</caption>{cells}</table>"
