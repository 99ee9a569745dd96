"""Hugging Face: ``Trainer(..., callbacks=[CarbonOpsCallback(region="DE", ledger=True)])``."""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback  # type: ignore[import-not-found, unused-ignore]

from ._training import Training


class CarbonOpsCallback(TrainerCallback):  # type: ignore[misc, unused-ignore]
    """Measures a training; arguments are those of :func:`carbon_ops.measure`."""

    def __init__(self, name: str = "training", **measured: Any) -> None:
        self.training = Training(name, **measured)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Of the process that counts as the first; others of a host are measured with it."""
        if getattr(state, "is_world_process_zero", True):
            self.training.begin()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Adds the figures to the log of the training."""
        self.training.end()
        if self.training.logs() and hasattr(state, "log_history"):
            state.log_history.append({"step": getattr(state, "global_step", 0), **self.training.logs()})
