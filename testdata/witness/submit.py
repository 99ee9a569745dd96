"""The other direction: a client of the Python package asks a witness of ours about a ledger.

submit.py URL VERIFIER_KEY LEDGER CHECKPOINT prints the cosigned checkpoint. The tree and the proof are
the package's own, made from the lines."""

import sys

from aics_tlog import MerkleTree
from aics_witness.feeder import WitnessClient, merge_cosignatures

url, key, ledger, checkpoint = sys.argv[1:]
with open(ledger, "rb") as file:
    tree = MerkleTree(line.rstrip(b"\n") for line in file)
with open(checkpoint, "rb") as file:
    note = file.read()
client = WitnessClient(url, key)
sys.stdout.write(merge_cosignatures(note, client.submit(note, tree.consistency_proof)).decode())
