"""Measuring energy: blocks of this process, and samples of the host."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, TypeVar

from . import _native

F = TypeVar("F", bound=Callable[..., Any])

_LOG = logging.getLogger("carbon_ops.energy")

_UJ_PER_WH = 3_600_000_000.0

#: Arguments of carbon-ops 0.1 that named its readers.
_OLD_ARGUMENTS = {"cpu_reader", "gpu_reader", "rapl_reader", "memory_reader", "settings", "governor_client"}


def _memory() -> dict[str, float]:
    total = available = 0
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemTotal:"):
                    total = int(line.split()[1]) * 1024
                elif line.startswith(b"MemAvailable:"):
                    available = int(line.split()[1]) * 1024
                    break
    except (OSError, ValueError, IndexError):
        return {}
    used = total - available
    return {
        "memory_used_gb": used / 2**30,
        "memory_percent": 100.0 * used / total if total else 0.0,
        "memory_available_gb": available / 2**30,
    }


def energy_summary(measured: _native.Measured) -> dict[str, Any]:
    """The members of ``energy`` in carbon-ops 0.1, and what it left out.

    ``energy_wh_total`` is the whole host's, ``energy_wh_active`` that without idle, and ``energy_wh_workload`` the part of
    this process.
    """
    host, workload, others, idle = measured.energies()
    seconds, cpu_seconds = measured.times()
    detail = json.loads(measured.json())
    domains = detail["domains"]
    gpu = sum(domain["delta_uj"] for domain in domains if domain["backend"] == "nvml")
    return {
        "duration_seconds": seconds,
        "avg_power_watts": host / 1e6 / seconds if seconds > 0 else 0.0,
        "idle_baseline_watts": idle / 1e6 / seconds if seconds > 0 else None,
        "calibration_version": None,
        "energy_wh_total": host / _UJ_PER_WH,
        "energy_wh_active": (workload + others) / _UJ_PER_WH,
        "energy_wh_workload": workload / _UJ_PER_WH,
        "cpu_seconds": cpu_seconds,
        "allocation_ratio": detail.get("allocation_ratio"),
        "attribution_mode": detail["attribution_mode"],
        "cpu_energy_wh": (host - gpu) / _UJ_PER_WH,
        "gpu_energy_wh": gpu / _UJ_PER_WH,
        "coverage_pct": detail["coverage_pct"],
        "quality_flag": measured.quality(),
    }


class EnergyLogger:
    """Measures energy. Nothing is printed; events go to the logger ``carbon_ops.energy`` of :mod:`logging`.

    Where no counter can be read, a published model of the processor stands in, and ``quality_flag`` says so.

    Args:
        log_level: Level of the events.
        history_limit: How many samples are kept.
        trace_id: A name that events carry.
        powercap_root: A folder instead of ``/sys/class/powercap``; results are then marked as simulated.
    """

    def __init__(
        self,
        log_level: int = logging.INFO,
        history_limit: int = 10_000,
        trace_id: str | None = None,
        *,
        powercap_root: str | None = None,
        **old: object,
    ) -> None:
        unknown = set(old) - _OLD_ARGUMENTS
        if unknown:
            raise TypeError(f"unexpected arguments: {', '.join(sorted(unknown))}")
        if old:
            warnings.warn(
                f"{', '.join(sorted(old))}: readers of carbon-ops 0.1, which have no effect; settings come from the "
                "environment and the configuration file",
                DeprecationWarning,
                stacklevel=2,
            )
        self.log_level = log_level
        self.history_limit = history_limit
        self.trace_id = trace_id
        self.logger = _LOG
        self.metrics: list[dict[str, Any]] = []
        self.idle_baseline_watts: float | None = None
        self._logger = _native.Logger(powercap_root)
        # The first window begins here.
        self._last = json.loads(self._logger.sample(""))

    def _keep(self, metric: dict[str, Any]) -> None:
        self.metrics.append(metric)
        if len(self.metrics) > self.history_limit:
            del self.metrics[0]

    def log_metrics(self, operation: str, additional_info: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Takes a sample of the host since the one before, or since this logger was made."""
        sample = json.loads(self._logger.sample(operation))
        self._last = sample
        host, seconds = sample["host"], int(sample["elapsed_ns"]) / 1e9
        gpu = sample.get("gpu") or {"energy_uj": 0, "devices": []}
        # A machine that only its model describes has no counter to tell GPUs by.
        processors = max(0.0, host["power_w"] - (gpu["energy_uj"] / 1e6 / seconds if seconds > 0 else 0.0))
        idle = sample["residuals"]["idle_uj"]
        metric: dict[str, Any] = {
            "timestamp": sample["timestamp"],
            "timestamp_start": sample["start_ts"],
            "timestamp_end": sample["timestamp"],
            "operation": operation,
            "cpu": {
                "cpu_percent": 100.0 * sample["cpu"]["utilisation"],
                "cpu_freq_mhz": sample["cpu"].get("frequency_mhz"),
                "estimated_power_watts": processors,
            },
            "memory": _memory(),
            "gpu": [
                {
                    "gpu_id": number,
                    "name": device["name"],
                    "gpu_utilization_percent": device.get("utilisation_percent"),
                    "memory_used_bytes": device.get("memory_used_bytes"),
                    "memory_total_bytes": device.get("memory_total_bytes"),
                }
                for number, device in enumerate(gpu["devices"])
            ],
            "total_estimated_power_watts": host["power_w"],
            "additional_info": dict(additional_info) if additional_info else None,
            "energy": {
                "duration_seconds": seconds,
                "avg_power_watts": host["power_w"],
                "idle_baseline_watts": idle / 1e6 / seconds if seconds > 0 else None,
                "calibration_version": None,
                "energy_wh_total": host["energy_uj"] / _UJ_PER_WH,
                "energy_wh_active": max(0, host["energy_uj"] - idle) / _UJ_PER_WH,
                "allocation_ratio": None,
                "attribution_mode": sample["attribution_mode"],
                "gpu_energy_wh": gpu["energy_uj"] / _UJ_PER_WH,
                "coverage_pct": sample["coverage_pct"],
                "quality_flag": sample["quality"],
            },
        }
        self._keep(metric)
        self._tell("Telemetry sample collected", operation, total_power_watts=host["power_w"])
        return metric

    def _tell(self, message: str, operation: str, **members: object) -> None:
        if _LOG.isEnabledFor(self.log_level):
            _LOG.log(self.log_level, message, extra={"operation": operation, "trace_id": self.trace_id, **members})

    async def log_metrics_async(
        self, operation: str, additional_info: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """As :meth:`log_metrics`, on a thread of its own."""
        import asyncio

        return await asyncio.to_thread(self.log_metrics, operation, additional_info)

    def monitor(self, operation: str = "work", log_interval: float | None = None) -> Monitor:
        """Measures a block, or a function that it decorates, coroutines included::

            with logger.monitor("training") as work:
                train()
            print(work["energy"]["energy_wh_workload"])
        """
        del log_interval
        return Monitor(self, operation)

    def calibrate_idle(self, samples: int = 5, interval: float = 0.2) -> float | None:
        """Measures what the host uses at rest, in W, by its counters; leave it alone meanwhile.

        ``None`` where there is no counter: a model's idle power is not measured. ``IDLE_BASELINE_WATTS`` takes the result.
        """
        try:
            watts, spread = self._logger.calibrate_idle(max(1, samples) * max(0.0, interval))
        except _native.NoCountersError as error:
            _LOG.warning("idle power is not measured: %s", error)
            return None
        self.idle_baseline_watts = watts
        self._tell("Idle baseline calibrated", "calibrate_idle", idle_baseline_watts=watts, spread_watts=spread)
        return watts

    async def calibrate_idle_async(self, samples: int = 5, interval: float = 0.2) -> float | None:
        """As :meth:`calibrate_idle`, on a thread of its own."""
        import asyncio

        return await asyncio.to_thread(self.calibrate_idle, samples, interval)

    @property
    def gpu_available(self) -> bool:
        """Whether the last sample had GPUs."""
        return self.gpu_count > 0

    @property
    def gpu_count(self) -> int:
        """How many GPUs the last sample had."""
        return len((self._last.get("gpu") or {"devices": []})["devices"])

    @property
    def rapl_available(self) -> bool:
        """Whether energy is counted, and not modelled."""
        return bool(self._last["attribution_mode"] != "monitor_only")

    def get_cpu_metrics(self) -> dict[str, Any]:
        """Processors, as of a new sample."""
        return dict(self.log_metrics("cpu")["cpu"])

    def get_memory_metrics(self) -> dict[str, float]:
        """Memory, now."""
        return _memory()

    def get_gpu_metrics(self) -> list[dict[str, Any]]:
        """GPUs, as of a new sample."""
        return list(self.log_metrics("gpu")["gpu"])

    def get_metrics_summary(self) -> dict[str, float | int | bool | str]:
        """Means over the samples that were kept."""
        if not self.metrics:
            return {"message": "No metrics collected yet"}

        def mean(of: Callable[[dict[str, Any]], float | None]) -> float:
            values = [value for metric in self.metrics if (value := of(metric)) is not None]
            return sum(values) / len(values) if values else 0.0

        energy = sum(metric["energy"]["energy_wh_total"] for metric in self.metrics)
        return {
            "total_measurements": len(self.metrics),
            "average_cpu_percent": mean(lambda metric: metric["cpu"]["cpu_percent"]),
            "average_memory_percent": mean(lambda metric: metric["memory"].get("memory_percent")),
            "average_power_watts": mean(lambda metric: metric["total_estimated_power_watts"]),
            "energy_wh_total": energy,
            "gpu_monitoring_enabled": self.gpu_available,
        }

    def export_metrics(self, filepath: object) -> None:
        """Writes summary and samples as one JSON file, at once or not at all."""
        import os
        import tempfile

        path = os.fspath(filepath)  # type: ignore[call-overload]
        folder = os.path.dirname(os.path.abspath(path))
        text = json.dumps({"summary": self.get_metrics_summary(), "metrics": self.metrics}, indent=2)
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
                os.replace(file.name, path)
            except BaseException:
                os.unlink(file.name)
                raise


class Monitor(dict):  # type: ignore[type-arg]
    """A block that is measured: a dictionary that has ``energy`` when the block has ended.

    ``measured`` is what :meth:`CarbonEstimator.estimate_measured` prices.
    """

    measured: _native.Measured | None

    def __init__(self, logger: EnergyLogger, operation: str) -> None:
        super().__init__(operation=f"{operation}_start")
        self._energy_logger = logger
        self._operation = operation
        self._block: _native.Block | None = None
        self.measured = None

    def __enter__(self) -> Monitor:
        self._block = self._energy_logger._logger.start(self._operation)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        try:
            measured = block.finish()
        except _native.CarbonOpsError as failed:
            # What was measured is never in the way of what was done.
            _LOG.warning("%s was not measured: %s", self._operation, failed)
            return
        self.measured = measured
        energy = energy_summary(measured)
        start, end = measured.span()
        self.update(timestamp=start, timestamp_start=start, timestamp_end=end, energy=energy)
        detail = json.loads(measured.json())
        # Where the kernel tells nothing of the machine's busy time, none is told here.
        cpu = detail.get("cpu")
        elapsed = energy["duration_seconds"] * 1e9 * int(cpu["count"]) if cpu else 0.0
        self._energy_logger._keep(
            {
                **self,
                "operation": f"{self._operation}_end",
                "timestamp": end,
                "cpu": {
                    "cpu_percent": 100.0 * int(cpu["busy_ns"]) / elapsed if cpu and elapsed > 0 else None,
                    "cpu_freq_mhz": None,
                    "estimated_power_watts": energy["avg_power_watts"],
                },
                "memory": _memory(),
                "gpu": [],
                "total_estimated_power_watts": energy["avg_power_watts"],
                "additional_info": {"duration_seconds": energy["duration_seconds"]},
            }
        )
        self._energy_logger._tell("Operation completed", self._operation, **energy)

    def __call__(self, function: F) -> F:
        from functools import wraps
        from inspect import iscoroutinefunction

        logger, operation = self._energy_logger, self._operation

        if iscoroutinefunction(function):

            @wraps(function)
            async def coroutine(*args: Any, **kwargs: Any) -> Any:
                with Monitor(logger, operation):
                    return await function(*args, **kwargs)

            return coroutine  # type: ignore[return-value]

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with Monitor(logger, operation):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]
