"""Ledgers of carbon-ops 0.1: one file, lines as Python writes JSON. New ledgers are :class:`carbon_ops.Ledger`."""

from .ledger import append_signed_entry, validate_ledger
from .verify import Signer, canonicalize, verify_json

__all__ = ["Signer", "append_signed_entry", "canonicalize", "validate_ledger", "verify_json"]
