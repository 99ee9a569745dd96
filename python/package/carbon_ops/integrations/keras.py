"""Keras: ``model.fit(..., callbacks=[CarbonOpsCallback(region="DE")])``."""

from __future__ import annotations

from typing import Any

from keras.callbacks import Callback  # type: ignore[import-not-found, unused-ignore]

from ._training import Training


class CarbonOpsCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Measures a fit; arguments are those of :func:`carbon_ops.measure`."""

    def __init__(self, name: str = "training", **measured: Any) -> None:
        super().__init__()
        self.training = Training(name, **measured)

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """The fit begins."""
        self.training.begin()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """The fit has ended; its log has the figures."""
        self.training.end()
        if logs is not None:
            logs.update(self.training.logs())
