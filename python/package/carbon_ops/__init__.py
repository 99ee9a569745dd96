"""What software emits, and the proof of it.

Three types to start from:

* :class:`EnergyLogger` measures energy: blocks of this process, and samples of the host.
* :class:`CarbonEstimator` prices energy: grams with a 95 % interval, of a place and time.
* :class:`Ledger` keeps signed records that nobody can change unnoticed; :func:`verify_ledger` notices.

:func:`measure` is all three in one line::

    with carbon_ops.measure("training", region="DE") as job:
        train()
    print(job.estimate)

The names of carbon-ops 0.1 are here where they meant something right; see the README for each of them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._native import (
        CarbonOpsError,
        LedgerDamagedError,
        LedgerError,
        NoCountersError,
        UnknownPlaceError,
        UntrustedKeyError,
    )
    from .aggregators import aggregate_estimates
    from .carbon_estimator import CarbonEstimator
    from .carbon_models import CarbonEstimate, CarbonEstimateDict
    from .carbon_taxonomy import CarbonTaxonomyLogger
    from .energy_logger import EnergyLogger
    from .ledger import Ledger, verify_ledger
    from .measuring import Measurement, measure
    from .schemas import AuditRecord

__version__ = "0.2.0"

#: Where each name is defined; a module is imported when it is first asked for.
_WHERE = {
    "AuditRecord": "schemas",
    "CarbonEstimate": "carbon_models",
    "CarbonEstimateDict": "carbon_models",
    "CarbonEstimator": "carbon_estimator",
    "CarbonOpsError": "_native",
    "CarbonTaxonomyLogger": "carbon_taxonomy",
    "EnergyLogger": "energy_logger",
    "Ledger": "ledger",
    "LedgerDamagedError": "_native",
    "LedgerError": "_native",
    "Measurement": "measuring",
    "NoCountersError": "_native",
    "UnknownPlaceError": "_native",
    "UntrustedKeyError": "_native",
    "aggregate_estimates": "aggregators",
    "measure": "measuring",
    "verify_ledger": "ledger",
}

__all__ = [
    "AuditRecord",
    "CarbonEstimate",
    "CarbonEstimateDict",
    "CarbonEstimator",
    "CarbonOpsError",
    "CarbonTaxonomyLogger",
    "EnergyLogger",
    "Ledger",
    "LedgerDamagedError",
    "LedgerError",
    "Measurement",
    "NoCountersError",
    "UnknownPlaceError",
    "UntrustedKeyError",
    "aggregate_estimates",
    "measure",
    "verify_ledger",
]


def __getattr__(name: str) -> Any:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
