"""Writes the frozen ledgers of this folder with the Python package carbon-ops 0.1.1 itself.

python3 make.py WHEEL FOLDER. Left out: any check of what it wrote; the tests do that.
"""
import os
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from carbon_ops.tools.ledger import append_signed_entry, validate_ledger
from carbon_ops.tools.verify import Signer
out = Path(sys.argv[2])
s = Signer(bytes(range(32)))
def make(name, payloads, **kw):
    p = out / name
    p.unlink(missing_ok=True)
    for x in payloads:
        append_signed_entry(p, x, s, **kw)
    (out/(name+".lock")).unlink()
    os.chmod(p, 0o644)
    print(name, validate_ledger(p, s.signing_key))
make("two-lines.ndjson", [{"i": 0}, {"é": "😀", "f": 1.0, "n": None, "b": True}])
numbers = [1e-05, 0.0001, 100.0, 1e16, 1e15, 9999999999999998.0, -0.0, 0.0, 1.2345678901234568e17, 5e-324,
 1.7976931348623157e308, 1e21, 1e22, 1e-7, 0.1, 1/3, -1.5, 123456.789]
integers = [0, -1, 2**53, 2**53+1, 2**63, 2**64, -2**70, 10**400]
make("numbers.ndjson", [{"floats": numbers, "integers": integers}] + [{"x": x} for x in numbers] + [{"n": n} for n in integers])
texts = ["é", "\u2028", "\u007f", "\u0080", "\ufb33", "😀", "\ud7ff", "\ue000", "\uffff", "\x00\x1f\b\t\n\f\r\"\\/", " ~", "<>&'"]
make("texts.ndjson", [{"kind": "carbon_ops", "texts": texts}] + [{t: t} for t in texts] + [{"😀": 1, "\ufb33": 2, "a": 3, "Z": 4, "": 5, "é": 6}])
make("nested.ndjson", [{"z": {"b": [{"y": 1, "x": {"é": [[], {}, None, True, False, 1.0]}}], "a": {"c": {"d": {"e": {}}}}}, "a": []}, {"signed": {"signature": "inner", "prev_hash": 1}}, {}])
make("audit.ndjson", [{"kind": "carbon_ops", "schema_version": "0.1.0", "type": "carbon_estimate", "region": "us-west", "source": "static", "labels": {"job": "é"}, "grams": 210.0 + i, "energy_kwh": 0.5, "total_energy_with_pue_kwh": 0.6, "pue_used": 1.2, "intensity_g_per_kwh": 350.0, "quality_flag": "estimated", "coverage_pct": 1.0, "meta": {"method": "analytical_truncated", "ci_lower_g": 210.0, "ci_upper_g": 210.0, "confidence_level_pct": 95.0}, "start_ts": "2024-01-01T09:00:00Z", "end_ts": "2024-01-01T10:00:00Z"} for i in range(5)])
make("not-finite.ndjson", [{"v": float("nan")}, {"v": [float("inf"), float("-inf")]}])
make("unlinked.ndjson", [{"i": 0}, {"i": 1}], include_prev_hash=False)
