"""Callbacks for training loops. Each module imports its framework, and nothing else here does.

* :mod:`carbon_ops.integrations.transformers`: ``CarbonOpsCallback`` for the ``Trainer`` of Hugging Face.
* :mod:`carbon_ops.integrations.lightning`: ``CarbonOpsCallback`` for PyTorch Lightning.
* :mod:`carbon_ops.integrations.keras`: ``CarbonOpsCallback`` for Keras.
"""
