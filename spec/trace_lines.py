"""Reads JSON lines of --trace on standard input for spec/mount/trace_spec.lua, and checks each.

Prints "OP COUNT" for each operation, then "NAME OP HEX" and "PATH OP HEX" for names and paths, as bytes.
"""
import collections
import json
import os
import sys

ALWAYS = {"time", "worker", "id", "op", "ino", "uid", "gid", "pid", "us"}
UNANSWERED = {"forget", "batch_forget", "interrupt"}


def check(line):
    missing = ALWAYS - set(line)
    assert not missing, "%s is missing in %r" % (missing, line)
    results = [key for key in ("bytes", "error", "pending") if key in line]
    wanted = 0 if line["op"] in UNANSWERED else 1
    assert len(results) == wanted, "%s in %r" % (results, line)
    assert "out" not in line or "bytes" in line, line
    assert line["us"] >= 0 and line["time"] > 1e9, line


counts = collections.Counter()
seen = []
for text in sys.stdin.buffer:
    line = json.loads(text)
    check(line)
    if "pending" not in line:
        counts[line["op"]] += 1
    for key in ("name", "name2", "path"):
        if key in line:
            seen.append("%s %s %s" % (key.upper(), line["op"], os.fsencode(line[key]).hex()))
for name, count in counts.items():
    print(name, count)
print("\n".join(seen))
