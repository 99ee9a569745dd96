"""PyTorch Lightning: ``Trainer(callbacks=[CarbonOpsCallback(region="DE")])``."""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch import Callback  # type: ignore[import-not-found, unused-ignore]
except ImportError:
    from pytorch_lightning import Callback  # type: ignore[import-not-found, no-redef, unused-ignore]

from ._training import Training


class CarbonOpsCallback(Callback):  # type: ignore[misc, unused-ignore]
    """Measures a fit; arguments are those of :func:`carbon_ops.measure`."""

    def __init__(self, name: str = "training", **measured: Any) -> None:
        self.training = Training(name, **measured)

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        """The fit begins."""
        if getattr(trainer, "is_global_zero", True):
            self.training.begin()

    def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
        """The fit has ended."""
        self.training.end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The fit was stopped."""
        self.training.end()
