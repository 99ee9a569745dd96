"""One text per JSON value, as carbon-ops 0.1 hashed it."""

from __future__ import annotations

import hashlib
import json


def canonicalize(obj: object) -> str:
    """Sorted by key, without spaces, with ASCII escapes."""
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False)


def hash_canonical(obj: object) -> str:
    """SHA-256 of :func:`canonicalize`, in hex."""
    return hashlib.sha256(canonicalize(obj).encode()).hexdigest()


def rfc8785(obj: dict[str, object]) -> str:
    """A JSON object as RFC 8785 has it, which ledgers of this version are made of."""
    from .. import _native

    return _native.canonical(json.dumps(obj, allow_nan=False))
