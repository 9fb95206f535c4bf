"""Prints the results as tables, compares them with the goals, writes them as JSON and CSV."""

import csv
import datetime
import json
import os
import platform
import statistics

import measure

HEAD = ("server", "k/s", "min", "max", "x floor", "p50 us", "p99 us", "cpu us", "+floor")
LINE = "  {:<16}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}"
SUBJECT = "lua"  # whose figures the goals are about
PINNED = "lua-pinned"  # and where it is the floor's share that counts, since callers are pinned there
OF_FLOOR = 0.95
OF_FLOOR_ROWS = ("fstat", "pread4k", "pwrite4k", "pread1m")
LUA_US = 0.3
LUA_US_ROWS = ("fstat", "lookup", "pread4k", "pwrite4k")
OF_LIBFUSE = 1.4
OF_BLOCKING = 0.9  # fractal.io beside a C server that blocks
WAIT_US = 1.0  # a wait without I/O: out of a handler or task, and back
BATCH_MS = 30  # for 64 waits of 10 ms at a time
PATH_US = 0.6  # the path API above the low-level one
IDLE_KIB = 16 * 1024  # and KIB_PER_QUEUE for each CPU
KIB_PER_QUEUE = 1024


def print_tables(results):
    for row in results["rows"].values():
        print(f"\n{row['title']}")
        print(LINE.format(*HEAD))
        for name, cell in row["servers"].items():
            rates = (f"{cell[key] / 1e3:.2f}" for key in ("rate", "rate_min", "rate_max"))
            latencies = (f"{cell[key] / 1e3:.1f}" for key in ("p50_ns", "p99_ns"))
            print(LINE.format(name, *rates, f"{cell['ratio']:.3f}", *latencies, f"{cell['server_us']:.2f}",
                              f"{cell['server_us_over_floor']:+.2f}"))
    if measure.MEMORY in results:
        print("\nresident memory, MiB")
        print(f"  {'server':<16}{'idle':>9}{'after':>9}")
        for name, cell in results[measure.MEMORY].items():
            print(f"  {name:<16}{cell['idle_kib'] / 1024:>9.1f}{cell['after_kib'] / 1024:>9.1f}")
    others = [sample["others"] for row in results["rows"].values() for cell in row["servers"].values()
              for sample in cell["samples"]]
    if others and statistics.median(others) > measure.BUSY_CPUS / 2:
        print(f"\nother processes used {statistics.median(others):.2f} CPUs meanwhile (median): "
              "run it again on a quiet machine")


def goals(results):
    """Yields (met, sentence) for each goal that this run can tell about."""
    cells = {name: row["servers"] for name, row in results["rows"].items() if SUBJECT in row["servers"]}
    for name in OF_FLOOR_ROWS:
        if name in cells:
            ratio = cells[name].get(PINNED, cells[name][SUBJECT])["ratio"]
            yield ratio >= OF_FLOOR, f"{name}: {ratio:.3f} of the floor (at least {OF_FLOOR})"
    for name in LUA_US_ROWS:
        if name in cells:
            cost = cells[name].get(PINNED, cells[name][SUBJECT])["server_us_over_floor"]
            yield cost <= LUA_US, f"{name}: {cost:+.2f} us of CPU above the floor (at most {LUA_US})"
    for name in ("file4k", "file1m"):
        if name in results["rows"]:
            ratio = results["rows"][name]["servers"]["lua-file"]["ratio"]
            yield ratio >= OF_BLOCKING, f"{name}: {ratio:.3f} of a C server that blocks (at least {OF_BLOCKING})"
    if "lua-path" in cells.get("path", {}):
        cost = cells["path"]["lua-path"]["server_us_over_floor"]
        yield cost <= PATH_US, f"path: {cost:+.2f} us of CPU above the low-level script (at most {PATH_US})"
    if "lua-waits" in cells.get("wait", {}):
        cost = cells["wait"]["lua-waits"]["server_us_over_floor"] / 2
        yield cost <= WAIT_US, f"wait: {cost:+.2f} us of CPU for each wait (at most {WAIT_US})"
    if "sleep64" in results["rows"]:
        batch = 64e3 / results["rows"]["sleep64"]["servers"]["lua-sleeps"]["rate"]
        yield batch <= BATCH_MS, f"sleep64: {batch:.1f} ms for 64 waits of 10 ms (at most {BATCH_MS})"
    for name, row in cells.items():
        for peer, cell in row.items():
            if results["servers"][peer]["peer"]:
                ratio = row[SUBJECT]["rate"] / cell["rate"]
                goal = OF_LIBFUSE if (name, peer) == ("roam", "libfuse") else 1.0
                yield ratio >= goal, f"{name}: {ratio:.2f} times {peer} (at least {goal:.1f})"
    if SUBJECT in results.get(measure.MEMORY, {}):
        limit = IDLE_KIB + KIB_PER_QUEUE * os.cpu_count()
        for key, kib in results[measure.MEMORY][SUBJECT].items():
            yield kib <= limit, f"memory {key[:-4]}: {kib / 1024:.1f} MiB (at most {limit / 1024:.0f})"


def print_goals(results):
    """Prints which goals are met; returns how many are missed."""
    missed = 0
    for number, (met, sentence) in enumerate(goals(results)):
        if number == 0:
            print(f"\ngoals for {SUBJECT}")
        print(f"  {'met   ' if met else 'MISSED'} {sentence}")
        missed += not met
    return missed


def write_json(results, path):
    results["machine"] = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
    }
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten to {path}")


def write_csv(results, path):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("row", "server", "round", "rate", "p50_ns", "p99_ns", "server_us", "other_cpus"))
        for name, row in results["rows"].items():
            for server, cell in row["servers"].items():
                for number, sample in enumerate(cell["samples"]):
                    writer.writerow((name, server, number + 1, sample["rate"], sample["p50"], sample["p99"],
                                     round(sample["server_us"], 3), round(sample["others"], 3)))
    print(f"written to {path}")
