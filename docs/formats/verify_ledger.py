"""Verifies a ledger from `ledger-v1.md` alone: python3 verify_ledger.py LEDGER KEY [CHECKPOINT].

LEDGER is a directory or a file, KEY a trusted public key in hex. Exit codes as in the document. Values inside
the ledger's own records are judged by `own_records.py` beside this, if it is there. Left out: what other
records mean, an imported file of 0.1 itself, and silences, which are no faults.
"""
import base64, hashlib, json, math, pathlib, re, sys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
sys.dont_write_bytecode = True
try: from own_records import judge
except ImportError: judge = lambda record, seq: None
P, SAFE = 2**255 - 19, 2**53 - 1
Y8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL = {0, 1, P - 1, Y8, P - Y8}
COMMON = set("kind ledger_id schema_version seq signature signature_algorithm signing_key created_ts tool type".split())
TYPES = {("genesis", 1): "durability keys", ("genesis", 2): "durability keys imported",
         ("genesis", 3): "durability keys imported", ("genesis", 4): "durability keys continues", ("recovery", 1): "evidence removed_bytes removed_sha256",
         ("key_rotation", 2): "added retired reason", ("heartbeat", 2): "interval_s next_by",
         ("correction", 2): "corrects corrects_leaf reason note replacement retraction restatement",
         ("restatement", 2): "first last records reason changes totals period note",
         ("gap", 2): "from_ts to_ts reason note host_id domains bound_uj"}
class Fault(ValueError): pass
WRONG = (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError)
def need(holds, why):
    if not holds: raise Fault(why)
def number(x):  # ECMAScript's Number::toString
    if x == int(x) and abs(x) < 1e21: return str(int(x))
    digits, exponent = re.fullmatch(r"-?([\d.]+?)(?:\.0)?(?:e([+-]\d+))?", repr(x)).groups()
    whole, _, part = digits.partition(".")
    point = len(whole) + int(exponent or 0)
    point -= len(whole + part) - len((whole + part).lstrip("0"))
    digits, n = (whole + part).strip("0"), len((whole + part).strip("0"))
    if 0 < point <= 21: text = digits[:point].ljust(point, "0") + ("." + digits[point:] if n > point else "")
    elif -6 < point <= 0: text = "0." + "0" * -point + digits
    else: text = digits[0] + ("." + digits[1:] if n > 1 else "") + f"e{point - 1:+d}"
    return ("-" if x < 0 else "") + text
def canonical(v, depth=0):
    need(depth <= 64, "nested too deep")
    if isinstance(v, dict):
        names = sorted(v, key=lambda name: name.encode("utf-16-be"))
        return "{" + ",".join(canonical(n) + ":" + canonical(v[n], depth + 1) for n in names) + "}"
    if isinstance(v, list): return "[" + ",".join(canonical(item, depth + 1) for item in v) + "]"
    if isinstance(v, float):
        need(math.isfinite(v) and abs(v) <= SAFE, "a number out of range")
        return number(v)
    return json.dumps(v, ensure_ascii=False)
def members(pairs):
    need(len(dict(pairs)) == len(pairs), "a member twice")
    return dict(pairs)
def parse(line):
    need(0 < len(line) <= 65535, "length")
    v = json.loads(line.decode(), object_pairs_hook=members, parse_int=float)
    need(isinstance(v, dict) and canonical(v, 1).encode() == line, "not canonical")
    return v
def hexed(v, size):
    need(isinstance(v, str) and re.fullmatch(f"[0-9a-f]{{{2 * size}}}", v), "not hex")
    return bytes.fromhex(v)
def strict(key, signature, message):
    y, r = (int.from_bytes(point, "little") % 2**255 for point in (key, signature[:32]))
    need(y < P and y not in SMALL and r not in SMALL, "a point of small order")
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
def root(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:k]) + root(leaves[k:])).digest()
class Ledger:
    def __init__(self):
        self.id, self.keys, self.seq, self.hash, self.leaves, self.ever = None, [], 0, None, [], []
    def line(self, line):
        v = parse(line)
        signed = {n: v[n] for n in v if n not in ("signature", "signature_algorithm", "signing_key")}
        text, key = canonical(signed).encode(), hexed(v.get("signing_key"), 32)
        own = v.get("kind") == "ledger"
        if own:
            kind = (v.get("type"), v.get("schema_version"))
            need(kind in TYPES and set(v) <= COMMON | {"prev_hash"} | set(TYPES[kind].split()), "an unknown record")
            judge(v, self.seq)
        need((own and v["type"] == "genesis") == (self.seq == 0), "no genesis, or a late one")
        if self.seq == 0:
            self.id, self.keys = v.get("ledger_id"), [hexed(k.get("public_key"), 32) for k in v["keys"]]
            self.ever = list(self.keys)
            hexed(self.id, 16)
        need(key in self.keys and v.get("signature_algorithm") == "ed25519", "the key")
        strict(key, hexed(v.get("signature"), 64), text)
        need(v.get("ledger_id") == self.id and v.get("seq") == self.seq, "ledger_id or seq")
        need(v.get("prev_hash") == self.hash and ("prev_hash" in v) == (self.seq > 0), "prev_hash")
        if own and v["type"] == "key_rotation":
            for k in v["added"]:
                lines = ["carbon-ops/key-possession/v1", self.id, str(self.seq), self.hash, v["signing_key"], k["public_key"]]
                strict(hexed(k["public_key"], 32), hexed(k["proof"], 64), "\n".join(lines).encode())
                need(bytes.fromhex(k["public_key"]) not in self.ever, "a key that was there before")
            gone, added = ([hexed(k["public_key"], 32) for k in v[which]] for which in ("retired", "added"))
            need(set(gone) <= set(self.keys), "a retired key that is not there")
            self.keys, self.ever = [k for k in self.keys if k not in gone] + added, self.ever + added
            need(0 < len(self.keys) <= 64, "the number of keys")
        if own and v["type"] == "correction":
            at = v.get("corrects")
            need(0 < at < self.seq and self.leaves[int(at)].hex() == v.get("corrects_leaf"), "corrects_leaf")
        self.seq, self.hash = self.seq + 1, hashlib.sha256(text).hexdigest()
def torn_at(data, active):  # where a torn end begins, or None
    at = 0
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        body, last, closed = line.rstrip(b"\n"), at + len(line) == len(data), line.endswith(b"\n")
        holes, edge = [m.span() for m in re.finditer(rb"\0+", body)], lambda x: (at + x - active) % 512 == 0
        hole = any((b == 0 or edge(b)) and (edge(e) or last and not closed and e == len(body)) for b, e in holes)
        piece = last and len(line) <= 65536 and (holes or not closed)
        if 0 < at >= len(data) - 1114112 and (hole or piece): return at
        at += len(line)
def main(path, trusted, kept=None):
    path = pathlib.Path(path)
    files = sorted(path.glob("seg/*.ndjson")) + [path / "ledger.ndjson"] if path.is_dir() else [path]
    parts, fault, ledger = [f.read_bytes() for f in files], None, Ledger()
    whole, torn = b"".join(parts), torn_at(b"".join(parts), sum(map(len, parts[:-1])))
    *lines, end = whole[:torn].split(b"\n")
    lines, rest = lines + [end + b"\n"] * bool(end and lines), whole[len(whole) if torn is None else torn:]
    for n, line in enumerate(lines):
        try:
            if fault is None:
                ledger.line(line)
        except WRONG as error:
            fault = f"line {n + 1}: {error}"
        ledger.leaves.append(hashlib.sha256(b"\0" + line).digest())
    if kept:
        text, _, signatures = pathlib.Path(kept).read_text().rpartition("\n\n")
        name, size, head = text.split("\n")
        ours, size = bytes.fromhex(trusted), int(size)
        tag = hashlib.sha256(f"{name}\n\1".encode() + ours).digest()[:4]
        blobs = [base64.b64decode(s.split(" ")[2]) for s in signatures.splitlines() if s.split(" ")[1] == name]
        strict(ours, next(b[4:] for b in blobs if b[:4] == tag), (text + "\n").encode())
        if size > len(ledger.leaves) and fault is None:
            one = len(rest) <= 65536 and b"\n" not in rest[:-1]
            return (3, "cut off") if one else (1, "a hole in what was signed for")
        if fault is None and ledger.id and name != "carbon-ops/ledger/" + ledger.id:
            return 1, "another ledger's checkpoint"
        if fault is None and root(ledger.leaves[:size]) != base64.b64decode(head):
            return 3, "rewritten"
    if fault or not lines:
        return 1, fault or "no line"
    signer = parse(lines[0])["signing_key"]
    return (2, "not trusted") if signer != trusted else (4, "a torn end") if rest else (0, "valid")

if __name__ == "__main__":
    try:
        code, verdict = main(*sys.argv[1:])
    except (OSError, StopIteration, *WRONG) as error:
        code, verdict = 2, f"could not check: {error}"
    sys.exit(print(verdict) or code)
