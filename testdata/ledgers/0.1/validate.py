"""What the Python package carbon-ops 0.1.1 says of the ledgers in a folder, as JSON by file name.

python3 validate.py WHEEL KEY FOLDER. True, false, or null where it raises instead of answering.
"""
import json
import logging
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from carbon_ops.tools.ledger import validate_ledger  # noqa: E402


def verdict(path):
    try:
        return validate_ledger(path, sys.argv[2])[0]
    except Exception:
        return None


logging.disable()
print(json.dumps({path.name: verdict(path) for path in Path(sys.argv[3]).iterdir()}))
