"""The record of carbon-ops 0.1. That of this version is :attr:`carbon_ops.CarbonEstimate.record`."""

from __future__ import annotations

from typing import Any

from .carbon_models import CarbonEstimate

CURRENT_AUDIT_SCHEMA_VERSION = "0.1.0"

#: Members, in their order.
_MEMBERS = (
    "kind schema_version type region source labels grams energy_kwh total_energy_with_pue_kwh pue_used "
    "intensity_g_per_kwh uncertainty_pct quality_flag provider_version calibration_version conversion_version "
    "coverage_pct datacenter_type meta start_ts end_ts"
).split()


class AuditRecord:
    """A record of carbon-ops 0.1: strict, with the numbers of an estimate of this version."""

    def __init__(self, **members: Any) -> None:
        unknown = set(members) - set(_MEMBERS)
        if unknown:
            raise ValueError(f"the audit record has no {', '.join(sorted(unknown))}")
        for name in ("grams", "energy_kwh", "total_energy_with_pue_kwh", "pue_used", "intensity_g_per_kwh"):
            value = members.get(name)
            if not isinstance(value, (int, float)) or not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} of an audit record is not negative: {value!r}")
        if members.get("quality_flag") not in ("measured", "estimated", "fallback"):
            raise ValueError(f"quality_flag {members.get('quality_flag')!r} is none")
        self._members = {name: members[name] for name in _MEMBERS if members.get(name) is not None}

    def __getattr__(self, name: str) -> Any:
        if name in _MEMBERS:
            return self.__dict__.get("_members", {}).get(name)
        raise AttributeError(name)

    @classmethod
    def of(cls, estimate: CarbonEstimate, extra: dict[str, Any]) -> AuditRecord:
        """Of an estimate."""
        record = estimate.record
        names = set(_MEMBERS) - {"schema_version", "meta"}
        members: dict[str, Any] = {name: record[name] for name in names if name in record}
        members.update(schema_version=CURRENT_AUDIT_SCHEMA_VERSION, meta=dict(estimate["meta"]), **extra)
        return cls(**members)

    def model_dump_json_ready(self) -> dict[str, Any]:
        """A dictionary with what the record has."""
        return dict(self._members)
