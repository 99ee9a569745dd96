"""The package as its users have it. Nothing here needs a counter, a network or another package."""

from __future__ import annotations

import asyncio
import atexit
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import warnings
from datetime import datetime, timezone
from pathlib import Path

# No settings of whoever runs the tests.
_HOME = tempfile.TemporaryDirectory()
atexit.register(_HOME.cleanup)
for _name in list(os.environ):
    if _name.startswith(("CARBON_", "DCL_", "XDG_")):
        del os.environ[_name]
os.environ["HOME"] = _HOME.name

import carbon_ops  # noqa: E402
from carbon_ops.anomaly import detect_anomalies  # noqa: E402
from carbon_ops.ledger_writer import append_carbon_estimate, carbon_event_from_estimate  # noqa: E402
from carbon_ops.monte_carlo import power_analysis_required_n  # noqa: E402
from carbon_ops.tools import Signer, append_signed_entry, validate_ledger, verify_json  # noqa: E402

DAY = {"start_ts": "2026-03-01T00:00Z", "end_ts": "2026-03-02T00:00Z"}


def work() -> int:
    return sum(number * number for number in range(300_000))


class QuickStart(unittest.TestCase):
    """The first example of carbon-ops 0.1.1, to the letter."""

    def test_the_example_of_0_1_runs_and_has_an_interval(self) -> None:
        source = Path(__file__).with_name("quick_start_0_1.py").read_text(encoding="utf-8")
        space: dict[str, object] = {}
        exec(compile(source.replace("print(", "shown = ("), "quick start", "exec"), space)
        shown = space["shown"]
        self.assertIsInstance(shown, dict)
        meta = shown["meta"]  # type: ignore[index]
        self.assertLess(meta["ci_lower_g"], meta["ci_upper_g"])
        self.assertEqual(shown["quality_flag"], "fallback")  # type: ignore[index]


class Estimates(unittest.TestCase):
    def test_grams_are_energy_times_pue_times_intensity(self) -> None:
        estimator = carbon_ops.CarbonEstimator("DE", custom_pue=1.5, custom_carbon_intensity=400)
        estimate = estimator.estimate_over_span(energy_wh=2000, **DAY)
        self.assertAlmostEqual(estimate["carbon_emissions_gco2"], 2 * 1.5 * 400)
        self.assertEqual(estimate["carbon_emissions_kgco2"], estimate.grams / 1000)
        self.assertEqual(estimate.to_dict()["pue_used"], 1.5)
        self.assertAlmostEqual(estimate.uncertainty_pct, 15)
        stated = carbon_ops.CarbonEstimator("DE", custom_pue=1.5, custom_carbon_intensity="400 ± 10%")
        self.assertAlmostEqual(stated.estimate_over_span(energy_wh=1, **DAY).uncertainty_pct, 10)
        self.assertEqual(json.loads(estimate.record_json), estimate.record)
        self.assertIn("95 % between", str(estimate))
        self.assertIn("<table>", estimate._repr_html_())

    def test_power_and_time_make_an_energy(self) -> None:
        estimator = carbon_ops.CarbonEstimator("FR")
        by_power = estimator.estimate_over_span(power_watts=100, **DAY)
        by_energy = estimator.estimate_over_span(energy_wh=2400, **DAY)
        self.assertEqual(by_power.grams, by_energy.grams)
        self.assertAlmostEqual(estimator.estimate_from_power_time(50, 7200)["energy_consumed_wh"], 100)

    def test_many_energies_have_the_figures_of_their_records(self) -> None:
        estimator = carbon_ops.CarbonEstimator("US-CA")
        energies = [0.0, 1.0, 2.5, 1e6]
        many = estimator.estimate_many(energies, **DAY)
        for energy, grams in zip(energies, many):
            one = estimator.estimate_over_span(energy_wh=energy, **DAY)
            self.assertEqual(grams, (one.grams, one.ci_lower_g, one.ci_upper_g))

    def test_trials_agree_with_the_closed_form_and_come_out_again(self) -> None:
        estimator = carbon_ops.CarbonEstimator("DE")
        closed = estimator.estimate_over_span(energy_wh="1kWh ± 5%", **DAY)
        drawn = estimator.estimate_over_span(energy_wh="1kWh ± 5%", audit_mode=True, **DAY)
        again = estimator.estimate_over_span(energy_wh="1kWh ± 5%", audit_mode=True, **DAY)
        self.assertEqual(drawn["meta"]["method"], "monte_carlo")
        self.assertEqual(drawn["meta"], again["meta"])
        self.assertAlmostEqual(drawn.ci_upper_g / closed.ci_upper_g, 1, delta=0.02)

    def test_times_are_datetimes_texts_and_numbers(self) -> None:
        estimator = carbon_ops.CarbonEstimator("DE")
        start = datetime(2026, 3, 1, tzinfo=timezone.utc)
        of = [
            estimator.estimate_over_span(start_ts=instant, end_ts="2026-03-01T01:00:00+00:00", energy_wh=1)
            for instant in (start, start.replace(tzinfo=None), start.timestamp(), "2026-03-01T00:00:00Z")
        ]
        self.assertEqual({estimate.start_ts for estimate in of}, {"2026-03-01T00:00:00.000000Z"})

    def test_what_is_wrong_is_refused(self) -> None:
        estimator = carbon_ops.CarbonEstimator("DE")
        for energy in (-5, math.nan, math.inf):
            with self.assertRaises(ValueError):
                estimator.estimate_from_energy(energy)
        for wrong in (True, None, [1]):
            with self.assertRaises(TypeError):
                estimator.estimate_from_energy(wrong)  # type: ignore[arg-type]
        with self.assertRaises(ValueError):
            estimator.estimate_over_span(start_ts=1.0, end_ts=1.0, energy_wh=1)
        with self.assertRaises(ValueError):
            estimator.estimate_over_span(energy_wh=1, power_watts=1, **DAY)
        with self.assertRaises(ValueError):
            estimator.estimate_over_span(energy_wh=1, missing_policy="guess", **DAY)
        with self.assertRaises(carbon_ops.UnknownPlaceError):
            carbon_ops.CarbonEstimator("Atlantis")
        with self.assertRaises(carbon_ops.CarbonOpsError):
            carbon_ops.CarbonEstimator("DE", custom_pue=0.5)

    def test_a_region_that_was_made_up_is_mapped_and_warns(self) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            estimate = carbon_ops.CarbonEstimator("eu-north").estimate_from_energy(100)
        self.assertEqual([each.category for each in caught], [DeprecationWarning])
        self.assertEqual(estimate["region"], "SE")

    def test_the_environment_is_asked_unless_it_shall_not_be(self) -> None:
        os.environ["DCL_DEFAULT_REGION"] = "FR"
        try:
            self.assertEqual(carbon_ops.CarbonEstimator().estimate_from_energy(1)["region"], "FR")
            alone = carbon_ops.CarbonEstimator(environment=False)
            self.assertEqual(alone.estimate_from_energy(1)["region"], "world")
        finally:
            del os.environ["DCL_DEFAULT_REGION"]

    def test_sums_share_what_is_shared(self) -> None:
        estimator = carbon_ops.CarbonEstimator("DE")
        estimates = [estimator.estimate_over_span(energy_wh=energy, **DAY) for energy in (100, 300)]
        total = carbon_ops.aggregate_estimates([*estimates, estimates[0]])["all"]
        self.assertEqual(total["count"], 2)
        self.assertAlmostEqual(total["total_grams"], sum(estimate.grams for estimate in estimates), places=6)
        self.assertAlmostEqual(total["relative_uncertainty_pct"], estimates[0].uncertainty_pct, places=6)
        by_region = carbon_ops.aggregate_estimates([*estimates, estimator.estimate_from_energy(1, region="FR")], by="region")
        self.assertEqual(sorted(by_region), ["DE", "FR"])


class Measuring(unittest.TestCase):
    def test_a_block_a_function_and_a_coroutine_are_measured(self) -> None:
        logger = carbon_ops.EnergyLogger()
        with logger.monitor("block") as block:
            work()
        energy = block["energy"]
        self.assertGreater(energy["energy_wh_total"], 0)
        self.assertLessEqual(energy["energy_wh_workload"], energy["energy_wh_total"])
        self.assertAlmostEqual(
            energy["energy_wh_active"], energy["energy_wh_total"] - energy["idle_baseline_watts"] * energy["duration_seconds"] / 3600
        )

        @logger.monitor("function")
        def function(number: int) -> int:
            return number + work()

        @logger.monitor("coroutine")
        async def coroutine() -> int:
            await asyncio.sleep(0)
            return work()

        self.assertEqual(function(1), 1 + work())
        self.assertEqual(asyncio.run(coroutine()), work())
        names = [metric["operation"] for metric in logger.metrics]
        self.assertEqual(names, ["block_end", "function_end", "coroutine_end"])
        estimate = carbon_ops.CarbonEstimator("DE").estimate_measured(block.measured)
        self.assertAlmostEqual(estimate["energy_consumed_wh"] / energy["energy_wh_workload"], 1, places=6)
        low, high = estimate.energy_interval_kwh
        self.assertTrue(low < estimate.energy_kwh < high)

    def test_an_error_of_the_work_comes_through_and_is_measured(self) -> None:
        logger = carbon_ops.EnergyLogger()
        with self.assertRaises(KeyError), logger.monitor("fails"):
            raise KeyError("mine")
        self.assertIn("energy", logger.metrics[-1])

    def test_samples_follow_one_another(self) -> None:
        logger = carbon_ops.EnergyLogger(history_limit=2)
        samples = [logger.log_metrics("step", {"n": n}) for n in range(3)]
        self.assertEqual(samples[0]["timestamp_end"], samples[1]["timestamp_start"])
        self.assertEqual(logger.metrics, samples[1:])
        self.assertEqual(logger.get_metrics_summary()["total_measurements"], 2)
        self.assertEqual(asyncio.run(logger.log_metrics_async("later"))["operation"], "later")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "metrics.json"
            logger.export_metrics(path)
            self.assertEqual(len(json.loads(path.read_text())["metrics"]), 2)
            with self.assertRaises(OSError):
                logger.export_metrics(Path(folder) / "none" / "metrics.json")
            self.assertEqual(os.listdir(folder), ["metrics.json"])

    def test_threads_measure_at_one_time(self) -> None:
        logger = carbon_ops.EnergyLogger()

        def one() -> None:
            with logger.monitor("thread"):
                work()

        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(logger.metrics), 4)

    def test_a_fork_is_told_that_the_block_is_its_parents(self) -> None:
        script = (
            "import carbon_ops, os\n"
            "logger = carbon_ops.EnergyLogger()\n"
            "block = logger._logger.start('x')\n"
            "child = os.fork()\n"
            "if child == 0:\n"
            "    try:\n"
            "        block.finish()\n"
            "    except carbon_ops.CarbonOpsError:\n"
            "        os._exit(7)\n"
            "    os._exit(0)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7\n"
            "assert block.finish().energies()[0] > 0\n"
        )
        subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)

    def test_measure_is_priced_and_kept_and_never_in_the_way(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            where = Path(folder) / "ledger"
            with carbon_ops.measure("training", region="DE", ledger=where, labels={"team": "a"}) as job:
                work()
            self.assertIsNone(job.error)
            self.assertEqual((job.entry, job.estimate.labels), (1, {"team": "a"}))
            self.assertTrue(carbon_ops.Ledger(where).verify(recompute=True))

            @carbon_ops.measure("step", region="DE")
            def step() -> int:
                return 5

            self.assertEqual((step(), step.last.error), (5, None))
            blocked = Path(folder) / "file"
            blocked.write_text("no folder")
            with self.assertLogs("carbon_ops", "WARNING"), carbon_ops.measure("x", region="DE", ledger=blocked / "l") as job:
                work()
            self.assertIsNotNone(job.error)
            self.assertIsNotNone(job.estimate)
        with self.assertRaises(carbon_ops.UnknownPlaceError):
            carbon_ops.measure("x", region="Atlantis")

    def test_old_readers_warn_and_others_are_refused(self) -> None:
        with self.assertWarns(DeprecationWarning):
            carbon_ops.EnergyLogger(gpu_reader=object())
        with self.assertRaises(TypeError):
            carbon_ops.EnergyLogger(colour="blue")

    def test_the_idle_power_of_a_model_is_not_measured(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            logger = carbon_ops.EnergyLogger(powercap_root=folder)
            with self.assertLogs("carbon_ops.energy", "WARNING"):
                self.assertIsNone(logger.calibrate_idle(1, 0.5))


class Ledgers(unittest.TestCase):
    def test_one_changed_byte_is_noticed(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ledger = carbon_ops.Ledger(Path(folder) / "ledger")
            estimator = carbon_ops.CarbonEstimator("DE")
            numbers = [ledger.append(estimator.estimate_over_span(energy_wh=n, **DAY)) for n in (1, 2)]
            self.assertEqual(numbers, [1, 2])
            self.assertIn("\n", ledger.checkpoint())
            self.assertTrue(ledger.verify())
            self.assertFalse(carbon_ops.verify_ledger(ledger.folder, trusted=Signer(ephemeral=True).signing_key))
            path = Path(ledger.folder) / "ledger.ndjson"
            text = path.read_bytes()
            path.write_bytes(text.replace(b'"energy_kwh":0.001', b'"energy_kwh":0.002', 1))
            verdict = ledger.verify()
            self.assertEqual((verdict.answer, bool(verdict)), ("Tampered", False))

    def test_what_is_no_record_is_refused(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            ledger = carbon_ops.Ledger(Path(folder) / "ledger")
            estimate = carbon_ops.CarbonEstimator("DE").estimate_over_span(energy_wh=1, **DAY)
            forged = {**estimate.record, "grams": estimate.grams / 2}
            for wrong in (forged, {}, "no json"):
                with self.assertRaises(ValueError):
                    ledger.append(wrong)
            self.assertEqual(ledger.append(estimate.record), 1)

    def test_files_of_0_1_are_continued_byte_for_byte(self) -> None:
        """Key 00..1f and both lines as carbon-ops 0.1.1 wrote them."""
        signer = Signer(bytes(range(32)))
        self.assertEqual(signer.signing_key, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ledger.ndjson"
            self.assertEqual(validate_ledger(path, signer.signing_key), (False, -1))
            first = append_signed_entry(path, {"i": 0}, signer)
            self.assertTrue(str(first["signature"]).startswith("e2427f34a5fecf20"))
            second = append_signed_entry(path, {"é": "😀", "f": 1.0, "n": None, "b": True}, signer)
            self.assertEqual(second["prev_hash"], "e9f74e715a1806aa651489dcf176e77013b3c851dbc114cc9c24f2fe9d411d65")
            self.assertTrue(str(second["signature"]).startswith("8b56d76e2d828322"))
            self.assertEqual(validate_ledger(path, signer.signing_key), (True, -1))
            self.assertEqual(verify_json(first, signer.signing_key), (True, {"i": 0}))
            self.assertEqual(verify_json({**first, "i": 1}, signer.signing_key), (False, None))
            estimate = carbon_ops.CarbonEstimator("DE").estimate_over_span(energy_wh=500, **DAY)
            line = append_carbon_estimate(path, estimate, signer, extra={"labels": {"job": "é"}})
            self.assertEqual((line["grams"], line["labels"]), (estimate.grams, {"job": "é"}))
            lines = path.read_bytes()
            path.write_bytes(lines.replace(b'"i": 0', b'"i": 1'))
            self.assertEqual(validate_ledger(path, signer.signing_key), (False, 1))
            # A torn end: carbon-ops 0.1 wrote the next record onto it, and lost both.
            path.write_bytes(lines[:-40])
            with self.assertRaises(carbon_ops.CarbonOpsError):
                append_signed_entry(path, {"i": 3}, signer)
            self.assertEqual(path.read_bytes(), lines[:-40])

    def test_members_of_the_signature_are_not_overwritten(self) -> None:
        with self.assertRaises(ValueError):
            Signer(ephemeral=True).sign({"signature": "mine"})
        with self.assertRaises(ValueError):
            Signer()
        estimate = carbon_ops.CarbonEstimator("DE").estimate_from_energy(1)
        with self.assertRaises(ValueError):
            carbon_event_from_estimate(estimate, {"prev_hash": "forged"})
        with self.assertRaises(ValueError):
            carbon_event_from_estimate(estimate, {"mood": "good"})


class Frameworks(unittest.TestCase):
    """The callbacks, on stand-ins for the base classes of their frameworks."""

    def callback(self, module: str, framework: str, base: str, path: str) -> object:
        names = framework.split(".")
        for end in range(1, len(names) + 1):
            sys.modules.setdefault(".".join(names[:end]), types.ModuleType(".".join(names[:end])))
        setattr(sys.modules[framework], base, type(base, (), {}))
        found = importlib.import_module(f"carbon_ops.integrations.{module}")
        self.assertEqual(found.CarbonOpsCallback.__mro__[1].__name__, base, path)
        return found.CarbonOpsCallback("fit", region="DE")

    def test_each_measures_one_training(self) -> None:
        state = types.SimpleNamespace(is_world_process_zero=True, log_history=[], global_step=3)
        trainer = types.SimpleNamespace(is_global_zero=True)
        logs: dict[str, float] = {}
        hugging = self.callback("transformers", "transformers", "TrainerCallback", "a")
        lightning = self.callback("lightning", "lightning.pytorch", "Callback", "b")
        keras = self.callback("keras", "keras.callbacks", "Callback", "c")
        hugging.on_train_begin(None, state, None)  # type: ignore[attr-defined]
        lightning.on_fit_start(trainer, None)  # type: ignore[attr-defined]
        keras.on_train_begin()  # type: ignore[attr-defined]
        work()
        hugging.on_train_end(None, state, None)  # type: ignore[attr-defined]
        lightning.on_exception(trainer, None, KeyboardInterrupt())  # type: ignore[attr-defined]
        keras.on_train_end(logs)  # type: ignore[attr-defined]
        for callback in (hugging, lightning, keras):
            training = callback.training  # type: ignore[attr-defined]
            self.assertIsNone(training.measurement.error)
            self.assertGreater(training.logs()["carbon_ops_energy_kwh"], 0)
        self.assertEqual(state.log_history[0]["step"], 3)
        self.assertLess(logs["carbon_ops_gco2e_low"], logs["carbon_ops_gco2e_high"])
        with self.assertRaises(carbon_ops.UnknownPlaceError):
            type(keras)(region="Atlantis")


class Others(unittest.TestCase):
    def test_a_limit_fits_its_window(self) -> None:
        self.assertEqual(detect_anomalies([1.0] * 6), (False, 0.0))
        self.assertEqual(detect_anomalies([1.0] * 5 + [2.0]), (True, math.inf))
        found, score = detect_anomalies([1, 2, 3, 4, 5, 9])
        self.assertFalse(found)
        self.assertGreater(score, 4)
        self.assertTrue(detect_anomalies([1, 2, 3, 4, 5, 9], z_thresh=3)[0])

    def test_runs_that_show_a_difference(self) -> None:
        self.assertEqual(power_analysis_required_n(), 63)
        self.assertEqual(power_analysis_required_n(estimated=True), 64)

    def test_the_part_of_hardware(self) -> None:
        kept = carbon_ops.CarbonTaxonomyLogger("server", region="DE")
        kept.track_operation("a", 400, 3600)
        kept.track_operation("b", 4, 3600)
        summary = kept.get_taxonomy_summary()
        self.assertEqual(summary["measurement_count"], 2)
        self.assertLess(summary["min_theta"], summary["max_theta"])

    def test_every_name_is_there_and_importing_costs_little(self) -> None:
        for name in carbon_ops.__all__:
            self.assertIsNotNone(getattr(carbon_ops, name), name)
        listed = subprocess.run(
            [sys.executable, "-c", "import sys, carbon_ops; print(len([m for m in sys.modules if m.startswith('carbon_ops')]))"],
            check=True, capture_output=True, text=True,
        )
        self.assertEqual(listed.stdout.strip(), "1")
        with self.assertRaises(AttributeError):
            carbon_ops.nothing  # noqa: B018


if __name__ == "__main__":
    unittest.main()
