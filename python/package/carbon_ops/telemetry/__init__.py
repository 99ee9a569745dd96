"""Where carbon-ops 0.1 had :class:`EnergyLogger`."""

from ..energy_logger import EnergyLogger

__all__ = ["EnergyLogger"]
