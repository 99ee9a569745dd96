"""One block of work, measured, priced and, where that is asked for, kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from . import _native
from .carbon_estimator import CarbonEstimator
from .carbon_models import CarbonEstimate

F = TypeVar("F", bound=Callable[..., Any])

_LOG = logging.getLogger("carbon_ops")


class Measurement:
    """What :func:`measure` gives: when the block has ended, ``measured`` and ``estimate``, and ``entry`` of a ledger.

    Whatever fails beside the block never stops it: ``error`` says what, and a warning is logged.
    """

    #: What was measured; ``None`` before the block has ended, and where that failed.
    measured: _native.Measured | None
    #: Energy and carbon; as ``measured``.
    estimate: CarbonEstimate | None
    #: Number of the entry in the ledger.
    entry: int | None
    #: What failed beside the block.
    error: Exception | None

    def __init__(self, name: str, ledger: object, stated: dict[str, Any]) -> None:
        self._name, self._ledger, self._stated = name, ledger, stated
        # What is typed wrong is told before the work begins.
        self._estimator = CarbonEstimator(**stated)
        self._logger = _native.Logger()
        self._block: _native.Block | None = None
        self.measured = self.estimate = self.entry = self.error = None

    def __enter__(self) -> Measurement:
        try:
            self._block = self._logger.start(self._name)
        except _native.CarbonOpsError as error:
            self._failed(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        try:
            self.measured = block.finish()
            self.estimate = self._estimator.estimate_measured(self.measured)
            if self._ledger is not None:
                from .ledger import Ledger

                ledger = self._ledger if isinstance(self._ledger, Ledger) else Ledger.of(self._ledger)
                self.entry = ledger.append(self.estimate)
        except (_native.CarbonOpsError, OSError, ValueError) as failed:
            self._failed(failed)

    def _failed(self, error: Exception) -> None:
        self.error = error
        _LOG.warning("%s: %s", self._name, error)

    def __call__(self, function: F) -> F:
        from functools import wraps
        from inspect import iscoroutinefunction

        def fresh() -> Measurement:
            return Measurement(self._name, self._ledger, self._stated)

        if iscoroutinefunction(function):

            @wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with fresh() as done:
                    result = await function(*args, **kwargs)
                coroutine.last = done  # type: ignore[attr-defined]
                return result

            return coroutine  # type: ignore[return-value]

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with fresh() as done:
                result = function(*args, **kwargs)
            wrapped.last = done  # type: ignore[attr-defined]
            return result

        return wrapped  # type: ignore[return-value]

    def __str__(self) -> str:
        return f"{self._name}: {self.estimate}" if self.estimate is not None else f"{self._name}: not measured"

    def _repr_html_(self) -> str:
        return self.estimate._repr_html_() if self.estimate is not None else str(self)


def measure(
    name: str = "work",
    *,
    region: str | None = None,
    ledger: object = None,
    labels: Mapping[str, str] | None = None,
    **estimator: Any,
) -> Measurement:
    """Measures a block, or a function that it decorates: this process, its threads, and the children it waits for.

    Args:
        name: What the work is called in its record.
        region: As of :class:`CarbonEstimator`, which further arguments go to.
        ledger: A :class:`Ledger`, the folder of one, or ``True`` for the default one: the record is appended there.
        labels: Labels of the record.

    A decorated function has the :class:`Measurement` of its last call as ``function.last``.
    """
    return Measurement(name, ledger, {"region": region, "labels": labels, **estimator})
