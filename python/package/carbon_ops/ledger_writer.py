"""Estimates in ledger files of carbon-ops 0.1."""

from __future__ import annotations

import os
from typing import Any

from .carbon_models import CarbonEstimate
from .schemas import AuditRecord
from .tools.ledger import append_signed_entry
from .tools.verify import SIGNATURE_FIELDS, Signer

RESERVED_EXTRA_KEYS = {*SIGNATURE_FIELDS, "prev_hash"}


def carbon_event_from_estimate(estimate: CarbonEstimate, extra: dict[str, Any] | None = None) -> AuditRecord:
    """The audit record of an estimate.

    Raises:
        ValueError: when ``extra`` has a member of the ledger's own, or one that the schema does not have.
    """
    taken = RESERVED_EXTRA_KEYS.intersection(extra or {})
    if taken:
        raise ValueError(f"Field {sorted(taken)[0]!r} cannot be overridden via extra metadata.")
    return AuditRecord.of(estimate, extra or {})


def append_carbon_estimate(
    ledger_path: str | os.PathLike[str],
    estimate: CarbonEstimate,
    signer: Signer,
    *,
    extra: dict[str, Any] | None = None,
    include_prev_hash: bool = True,
) -> dict[str, object]:
    """Appends the audit record of an estimate; the line that was written. New ledgers are :class:`carbon_ops.Ledger`."""
    record = carbon_event_from_estimate(estimate, extra)
    return append_signed_entry(ledger_path, record.model_dump_json_ready(), signer, include_prev_hash)
