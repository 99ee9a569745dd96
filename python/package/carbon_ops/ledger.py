"""Records that are kept, signed and linked, so that nobody can change one unnoticed."""

from __future__ import annotations

import json
import os
from typing import Any

from . import _native
from .carbon_models import CarbonEstimate


class Ledger:
    """A ledger that is appended to, with the key that signs.

    Args:
        folder: Where it is; made where there is none. Without it, the default one of this user.
        key: The file of the key; without it, that of the settings.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None, key: str | os.PathLike[str] | None = None) -> None:
        self._ledger = _native.Ledger(folder, key)

    @classmethod
    def of(cls, ledger: object) -> Ledger:
        """``True`` is the default ledger, anything else a folder."""
        return cls() if ledger is True else cls(ledger)  # type: ignore[arg-type]

    @property
    def folder(self) -> str:
        """Where it is."""
        return os.fspath(self._ledger.folder())

    @property
    def public_key(self) -> str:
        """The key that signs, in hex."""
        return self._ledger.key()[0]

    @property
    def fingerprint(self) -> str:
        """The key that signs, as others compare it."""
        return self._ledger.key()[1]

    def append(self, estimate: CarbonEstimate | dict[str, Any] | str) -> int:
        """Appends a record, and gives its number. When this returns, it is on the disk.

        Raises:
            ValueError: for what is no record, or one that breaks a rule of records.
            LedgerError: when the ledger cannot be used.
        """
        if isinstance(estimate, CarbonEstimate):
            text = estimate.record_json
        else:
            text = estimate if isinstance(estimate, str) else json.dumps(estimate)
        return self._ledger.append(text)[0]

    def checkpoint(self) -> str:
        """Signs how many entries there are. Kept elsewhere, it shows later whether lines were cut off."""
        return self._ledger.checkpoint()

    def verify(self, *, recompute: bool = False) -> Verdict:
        """As :func:`verify_ledger`, trusting the key that signs."""
        return verify_ledger(self.folder, trusted=self.public_key, recompute=recompute)


class Verdict(dict):  # type: ignore[type-arg]
    """What a verification found; true where all that was asked holds."""

    @property
    def answer(self) -> str:
        """``Valid``, ``TornTail``, ``Tampered``, ``Untrusted``, …"""
        return str(self["answer"])

    def __bool__(self) -> bool:
        return self.answer == "Valid"


def verify_ledger(
    path: str | os.PathLike[str], *, trusted: str | None = None, recompute: bool = False
) -> Verdict:
    """Reads a whole ledger and says whether every line is as a trusted key wrote it, and every record adds up.

    Args:
        path: A folder, or a file.
        trusted: A public key in hex, its fingerprint, or a file with one of these per line. Without it, the keys of
            this user.
        recompute: Whether every interval is computed again.
    """
    return Verdict(json.loads(_native.verify(path, trusted, recompute)))
