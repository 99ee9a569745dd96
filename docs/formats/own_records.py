"""Values inside the ledger's own records, as `ledger-v1.md` has them: `verify_ledger.py` asks this file if it
lies beside it. A table of what each member may be, and below it what one member says of another.
"""
import re
from datetime import datetime, timedelta
SAFE = 2**53 - 1
def need(holds, why):
    if not holds: raise ValueError(why)
# What a member may be: functions of its value.
def a(pattern): return lambda v: isinstance(v, str) and re.fullmatch(pattern, v, re.ASCII)
def text(most): return lambda v: isinstance(v, str) and 0 < len(v.encode()) <= most
def whole(low, high=SAFE): return lambda v: isinstance(v, float) and v.is_integer() and low <= v <= high
def rows(low, high, item, by=None):  # a list; with `by`, ascending by that, each once
    climbs = lambda v: by is None or all(by(x) < by(y) for x, y in zip(v, v[1:]))
    return lambda v: isinstance(v, list) and low <= len(v) <= high and all(map(item, v)) and climbs(v)
def shape(**rules):  # an object of exactly these members; `name_` may be absent
    names = {n.rstrip("_"): rule for n, rule in rules.items()}
    there = lambda v, n: names[n](v[n]) if n in v else n + "_" in rules
    return lambda v: isinstance(v, dict) and set(v) <= set(names) and all(there(v, n) for n in names)
def moment(v): return datetime.strptime(v, "%Y-%m-%dT%H:%M:%S.%fZ")
def same(v): return v
HASH, NOTE, SEQ, NAME = a("[0-9a-f]{64}"), text(1024), whole(1), text(256)
TIME = a(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)\.\d{6}Z")
EACH = dict(kind=a("ledger"), ledger_id=same, seq=whole(0), prev_hash_=HASH, signature=same, signature_algorithm=same,
            signing_key=same, schema_version=same, type=same, created_ts=TIME, tool=NAME)
AMOUNT = lambda v: isinstance(v, float) or a("0|[1-9][0-9]{0,19}")(v)
KEYS = rows(1, 64, shape(algorithm=a("ed25519"), public_key=HASH))
OLD = shape(format=a(r"carbon-ops-0\.1"), file_bytes=whole(0), file_sha256=HASH, head_hash_=HASH, records=whole(0),
            keys=rows(0, 64, HASH, same), verdict=a("valid|tampered|torn_tail|untrusted"))
BASE64 = a("[A-Za-z0-9+/]{43}=")
LAST = shape(ledger_id=a("[0-9a-f]{32}"), size=whole(0), root=BASE64, head_hash_=HASH, file_bytes=whole(0), file_sha256=HASH,
             signed_size_=whole(1), verdict=a("valid|tampered|torn_tail|untrusted|rewritten"), note_=NOTE,
             reason=a("key_lost|key_compromise|damaged|restored|superseded|other"))
LATE = a("(group|async):([1-9][0-9]{0,3}|[1-5][0-9]{4}|60000)")
SIX = set("ledger_id seq prev_hash signature signature_algorithm signing_key".split())
public = lambda key: key["public_key"]
TYPES = {
    ("genesis", 1): dict(durability=a("sync"), keys=KEYS),
    ("genesis", 2): dict(durability=a("sync"), keys=KEYS, imported=OLD),
    ("genesis", 3): dict(durability=LATE, keys=KEYS, imported_=OLD),
    ("genesis", 4): dict(durability=lambda v: v == "sync" or LATE(v), keys=KEYS, continues=LAST),
    ("recovery", 1): dict(evidence=same, removed_bytes=whole(1), removed_sha256=HASH),
    ("key_rotation", 2): dict(
        added=rows(0, 64, shape(algorithm=a("ed25519"), proof=a("[0-9a-f]{128}"), public_key=HASH), public),
        retired=rows(0, 64, shape(public_key=HASH, compromised_since_=whole(0)), public),
        reason_=a("superseded|key_compromise|key_lost|writer_added|cessation_of_operation")),
    ("correction", 2): dict(corrects=SEQ, corrects_leaf=HASH, note_=NOTE, replacement_=same, retraction_=same, restatement_=SEQ,
        reason=a("duplicate|measurement|attribution|factor|calculation|metadata|not_real|restatement|other")),
    ("restatement", 2): dict(first_=SEQ, last_=SEQ, records_=rows(1, 4096, SEQ, same), note_=NOTE, totals_=same,
        reason=a("structural_change|methodology_change|factor_improvement|data_improvement|significant_error"),
        changes=rows(1, 64, shape(after=NAME, before=NAME, subject=NAME)), period_=shape(from_ts=TIME, to_ts=TIME)),
    ("gap", 2): dict(from_ts=TIME, to_ts=TIME, note_=NOTE, host_id_=NAME, domains_=rows(1, 256, NAME, str.encode), bound_uj_=whole(0),
        reason=a("maintenance|host_off|writer_stopped|sensor_lost|storage_unavailable|clock_change|unknown|other")),
    ("heartbeat", 2): dict(interval_s=whole(0, 2678400), next_by_=TIME)}
def judge(v, seq):  # what one member of the ledger's own record says of another
    rules = TYPES.get((v.get("type"), v.get("schema_version")))
    need(rules is not None and shape(**EACH, **rules)(v), "a record that is not as its type has it")
    kind, reason, created = v["type"], v.get("reason"), v["created_ts"]
    need(kind not in ("correction", "gap") or reason != "other" or "note" in v, "no note")
    if kind == "genesis": need(len(set(map(public, v["keys"]))) == len(v["keys"]), "a key twice")
    if "continues" in v:
        old, none = v["continues"], "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
        need((old["size"] > 0) == ("head_hash" in old) == (old["root"] != none), "the end of what is continued")
        need(old["size"] <= old["file_bytes"] and old.get("signed_size", old["size"] + 1) > old["size"], "sizes")
        need(old["reason"] != "other" or "note" in old, "no note")
    if kind == "recovery":
        torn = re.fullmatch(r"ledger\.ndjson\.torn-(0|[1-9][0-9]*)-" + v["removed_sha256"][:8], v["evidence"])
        need(torn and int(torn[1]) <= seq, "the name of the evidence")
    if kind == "key_rotation":
        since = [k["compromised_since"] for k in v["retired"] if "compromised_since" in k]
        need(all(s < seq for s in since) and (not since or reason == "key_compromise"), "compromised_since")
        need(v["added"] or v["retired"], "a change of nothing")
    if kind == "correction":
        stands = v.get("replacement", {})
        need(("replacement" in v) != ("retraction" in v) and v.get("retraction", True) is True, "what stands")
        need(isinstance(stands, dict) and not set(stands) & SIX and stands.get("kind") != "ledger", "replacement")
        need(("restatement" in v) == (reason == "restatement") and v.get("restatement", 0) < seq, "restatement")
        need(v["corrects"] < seq, "corrects")
    if kind == "restatement":
        need(("records" in v) != ("first" in v) == ("last" in v), "which records")
        those = v["records"] if "records" in v else [v["first"], v["last"]]
        need(those[0] <= those[-1] < seq, "which records")
        need(all(c["before"] != c["after"] for c in v["changes"]), "a change of nothing")
        totals = v.get("totals", {"some": dict(after=0.0, before=0.0)})
        need(isinstance(totals, dict) and 1 <= len(totals) <= 64 and all(len(n.encode()) <= 256 for n in totals), "totals")
        need(all(map(shape(after=AMOUNT, before=AMOUNT), totals.values())), "totals")
        if "period" in v: need(moment(v["period"]["from_ts"]) < moment(v["period"]["to_ts"]), "period")
    if kind == "gap": need(moment(v["from_ts"]) < moment(v["to_ts"]) <= moment(created), "from_ts")
    if kind == "heartbeat":
        due = moment(created) + timedelta(seconds=v["interval_s"]) if v["interval_s"] else None
        need(v.get("next_by") == (due and due.strftime("%Y-%m-%dT%H:%M:%S.%fZ")), "next_by")
