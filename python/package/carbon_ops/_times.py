"""Instants as callers have them: datetimes, texts, seconds since 1970."""

from __future__ import annotations

from datetime import datetime, timezone


def microseconds(instant: object) -> int:
    """Microseconds since 1970. A datetime or text without an offset is UTC.

    Raises:
        ValueError: for what is no instant.
        TypeError: for what is none of a datetime, a text or a number.
    """
    if isinstance(instant, str):
        text = instant.strip()
        instant = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text)
    if isinstance(instant, datetime):
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=timezone.utc)
        delta = instant - datetime(1970, 1, 1, tzinfo=timezone.utc)
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    if isinstance(instant, (int, float)) and not isinstance(instant, bool):
        return round(instant * 1_000_000)
    raise TypeError(f"{instant!r} is no datetime, no text of one, and no number of seconds")


def now_microseconds() -> int:
    """Now."""
    return microseconds(datetime.now(timezone.utc))
