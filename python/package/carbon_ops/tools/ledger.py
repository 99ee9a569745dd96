"""Ledger files of carbon-ops 0.1: appending and validating, with the faults of 0.1 refused."""

from __future__ import annotations

import json
import os

from .. import _native
from .verify import Signer


def append_signed_entry(
    ledger_path: str | os.PathLike[str],
    payload: dict[str, object],
    signer: Signer,
    include_prev_hash: bool = True,
) -> dict[str, object]:
    """Signs a payload and appends it; the line that was written.

    Raises:
        ValueError: for a payload that is no JSON, or has a member of the ledger's own.
        LedgerError: when the last line is torn, damaged or of another key, upon which nothing is built.
    """
    if not include_prev_hash:
        raise ValueError("an entry without the hash of the one before breaks the chain")
    text = json.dumps(payload, allow_nan=False)
    return dict(json.loads(_native.append_legacy(ledger_path, text, signer._raw)))


def validate_ledger(ledger_path: str | os.PathLike[str], public_key_hex: str) -> tuple[bool, int]:
    """Whether each line is signed by this key and linked to the one before, and the first line that is not, from 1.

    ``(False, -1)`` where there is no file. What carbon-ops 0.1 let pass (a torn end, doubled members) is refused.
    """
    if not os.path.exists(ledger_path):
        return False, -1
    key = public_key_hex[2:] if public_key_hex[:2] in ("0x", "0X") else public_key_hex
    return _native.validate_legacy(ledger_path, key)
