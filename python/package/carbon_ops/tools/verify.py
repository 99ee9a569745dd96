"""Signed JSON documents, as carbon-ops 0.1 had them."""

from __future__ import annotations

import json
import os

from .. import _native

SIGNATURE_FIELDS = ("signature", "signing_key", "signature_algorithm")


def canonicalize(obj: object) -> str:
    """The text that is signed: sorted by key, without spaces, characters as they are."""
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def verify_json(signed: object, public_key_hex: str | None) -> tuple[bool, dict[str, object] | None]:
    """Whether a document was signed by this key, and what was signed. Never raises for what is no such document."""
    if not isinstance(signed, dict) or not isinstance(public_key_hex, str):
        return False, None
    signature = signed.get("signature")
    algorithm = signed.get("signature_algorithm", "ed25519")
    if not isinstance(signature, str) or algorithm != "ed25519":
        return False, None
    original = {key: value for key, value in signed.items() if key not in SIGNATURE_FIELDS}
    try:
        message, bytes_ = canonicalize(original).encode(), bytes.fromhex(signature)
    except (ValueError, TypeError, RecursionError):
        return False, None
    key = public_key_hex[2:] if public_key_hex[:2] in ("0x", "0X") else public_key_hex
    return (True, original) if _native.verifies(key, message, bytes_) else (False, None)


class Signer:
    """Signs with Ed25519 by a seed of 32 bytes; with ``ephemeral`` by one that nobody keeps."""

    algorithm = "ed25519"

    def __init__(self, private_key: bytes | None = None, ephemeral: bool = False) -> None:
        if private_key is None:
            if not ephemeral:
                raise ValueError("private_key is required; ephemeral=True makes one for tests")
            private_key = os.urandom(32)
        self._raw = bytes(private_key)
        self.signing_key = _native.public_key(self._raw)

    def sign(self, payload: dict[str, object]) -> dict[str, object]:
        """A copy of the payload with its signature.

        Raises:
            ValueError: when the payload has a member of the signature's own, which would be lost.
        """
        taken = [name for name in SIGNATURE_FIELDS if name in payload]
        if taken:
            raise ValueError(f"the payload has {', '.join(taken)}, which the signature has")
        message = canonicalize(payload).encode()
        return {
            **payload,
            "signature": _native.sign(self._raw, message),
            "signing_key": self.signing_key,
            "signature_algorithm": self.algorithm,
        }
