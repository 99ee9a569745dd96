"""Where carbon-ops 0.1 had :class:`CarbonEstimator`."""

from ..carbon_estimator import CarbonEstimator

__all__ = ["CarbonEstimator"]
