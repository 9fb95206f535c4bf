"""The rows of the table and how one of their cells is measured.

Each round has all servers of its row mounted anew, so that no row depends on those before it, and no
figure on where one process happens to lie in memory. In a round the client visits them in turn, a few
milliseconds each, around and around, so that a machine that speeds up or slows down does so for all.
"""

import collections
import json
import os
import random
import statistics
import subprocess
import time

MEMORY = "memory"
WARM_SECONDS = 0.3  # at most, for each server before a round: compilers, caches, pages
SLACK_SECONDS = 15  # a client that takes so much longer than asked hangs
BUSY_CPUS = 0.2  # CPUs that other processes may use during a measurement
RETAKES = 5  # of measurements that others disturbed, in one row
BURST_SECONDS = 1.0  # at most

CPUS = sorted(os.sched_getaffinity(0))
ONE_CPU = ["-p", str(CPUS[-1])]
TWO_CPUS = ["-t", "2", "-p", f"{CPUS[0]},{CPUS[-1]}"]

# words: the client's; requests: for each call; floor: the server it is compared with; only: the servers of this
# row, where those are not all.
Row = collections.namedtuple("Row", "title words requests floor only", defaults=((),))
ROWS = {
    "fstat": Row("fstat, client pinned to one CPU", [*ONE_CPU, "fstat"], 1, "floor"),
    "fstat2": Row("fstat, two clients, each pinned to its own CPU", [*TWO_CPUS, "fstat"], 1, "floor"),
    "roam": Row("fstat, one client that the scheduler moves", ["fstat"], 1, "floor"),
    "lookup": Row("LOOKUP and GETATTR, pinned", [*ONE_CPU, "fstatat"], 2, "floor"),
    "pread4k": Row("4 KiB pread, pinned", [*ONE_CPU, "-b", "4096", "pread"], 1, "floor"),
    "pwrite4k": Row("4 KiB pwrite, pinned", [*ONE_CPU, "-b", "4096", "pwrite"], 1, "floor"),
    "pread1m": Row("1 MiB pread, pinned (floor that copies)", [*ONE_CPU, "-b", "1048576", "pread"], 1, "floor -c"),
    "file4k": Row("4 KiB pread of a cached file: fractal.io beside a C server that blocks",
                  [*ONE_CPU, "-b", "4096", "pread"], 1, "file", ("file", "lua-file")),
    "file1m": Row("1 MiB pread of a cached file: fractal.io beside a C server that blocks",
                  [*ONE_CPU, "-b", "1048576", "pread"], 1, "file", ("file", "lua-file")),
    "path": Row("fstat at depth 4: the path API beside the low-level one",
                [*ONE_CPU, "fstat"], 1, "lua", ("lua", "lua-path")),
    "wait": Row("fstat that goes through a task and back (two waits), beside one that does not wait",
                [*ONE_CPU, "fstat"], 1, "lua", ("lua", "lua-waits")),
    "sleep64": Row("64 reads at a time on one worker, each sleeping 10 ms",
                   ["-t", "64", "-b", "4096", "pread"], 1, "lua-sleeps", ("lua-sleeps",)),
}
BURST = ["-t", "8", "-b", "1048576", "pwrite"]


class ClientFailed(Exception):
    """The client got an error or no answer."""


def idle_seconds():
    """Idle time of all CPUs together since boot."""
    with open("/proc/stat", encoding="utf-8") as stat:
        fields = stat.readline().split()
    return (int(fields[4]) + int(fields[5])) / os.sysconf("SC_CLK_TCK")


def takes_part(server, floor, only):
    """Whether a server is in a row. Floors and servers that some rows are made for are in those alone."""
    special = server.startswith("floor") or any(server in row.only for row in ROWS.values() if server != "lua")
    return server in only if only else not special or server == floor


class Bench:
    """One run: client is the path of bench_client, seconds the length of a measurement, rest how long memory is left
    alone after a burst."""

    def __init__(self, client, seconds, rounds, rest):
        self.client = str(client)
        self.seconds = seconds
        self.rounds = rounds
        self.rest = rest
        self.retakes = 0  # still allowed in this row

    def run(self, servers, rows):
        """Measures the named rows on all servers; returns what report.py prints and writes."""
        results = {"servers": {server.name: {"peer": server.is_peer} for server in servers}, "rows": {}}
        if MEMORY in rows:
            print(f"memory: a burst of 1 MiB writes, then {self.rest:g} s of rest", flush=True)
            results[MEMORY] = self.memory([server for server in servers if takes_part(server.name, "floor", ())])
        for name in rows:
            if name == MEMORY or (name == "fstat2" and len(CPUS) < 2):
                continue
            if not any(server.name == ROWS[name].floor for server in servers):
                print(f"left out: {name}: it is compared with {ROWS[name].floor}, which is not measured", flush=True)
                continue
            print(f"{name}: ", end="", flush=True)
            results["rows"][name] = self.row(servers, name)
            print(flush=True)
        return results

    def row(self, servers, name):
        title, words, requests, floor, only = ROWS[name]
        cast = [server for server in servers if takes_part(server.name, floor, only)]
        samples = {server.name: [] for server in cast}
        self.retakes = RETAKES
        for number in range(self.rounds):
            order = random.Random(number).sample(cast, len(cast))
            for server in order:
                server.restart()
            self.call(order, words, min(WARM_SECONDS, self.seconds) * len(order))
            for server, sample in self.round(order, words, requests).items():
                samples[server].append(sample)
            print(".", end="", flush=True)
        return {"title": title, "floor": floor,
                "servers": {server: summary(taken, samples[floor]) for server, taken in samples.items()}}

    def round(self, cast, words, requests):
        """A measurement of each server; where other processes disturbed it, the least disturbed of some."""
        def disturbed(measured):
            return next(iter(measured.values()))["others"]

        best = self.measure(cast, words, requests)
        while disturbed(best) > BUSY_CPUS and self.retakes > 0:
            self.retakes -= 1
            best = min(best, self.measure(cast, words, requests), key=disturbed)
        return best

    def measure(self, cast, words, requests):
        """Samples of all servers by name, taken in the same seconds."""
        idle, begin = idle_seconds(), time.monotonic()
        before = [server.cpu_seconds() for server in cast]
        samples = self.call(cast, words, self.seconds * len(cast))
        used = [server.cpu_seconds() - cpu for server, cpu in zip(cast, before)]
        elapsed = time.monotonic() - begin
        busy = elapsed * len(CPUS) - (idle_seconds() - idle)
        others = max(0.0, (busy - sum(used) - samples[0]["cpu"]) / elapsed)
        for sample, cpu in zip(samples, used):
            sample["others"] = others
            sample["server_us"] = cpu * 1e6 / (sample["calls"] * requests)
        return {server.name: sample for server, sample in zip(cast, samples)}

    def call(self, cast, words, seconds):
        """Runs the client on the servers' files, which take turns; returns what it measured of each."""
        command = [self.client, "-d", str(seconds), *words, *(server.file for server in cast)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            output, errors = client.communicate(timeout=seconds + SLACK_SECONDS)
        except subprocess.TimeoutExpired as timeout:
            for server in cast:
                server.kill()
            client.kill()
            client.communicate()
            names = ", ".join(server.name for server in cast)
            raise ClientFailed(f"one of {names} does not answer ({' '.join(words)})") from timeout
        samples = [json.loads(line) for line in output.splitlines()]
        if client.returncode != 0 or not all(sample["calls"] for sample in samples):
            raise ClientFailed(errors.strip() or f"too little time for a call to each server ({' '.join(words)})")
        return samples

    def memory(self, servers):
        """Resident KiB of each server: freshly mounted, and after a burst of writes and a rest."""
        found = {server.name: {"idle_kib": server.resident_kib()} for server in servers}
        looks = []
        for server in servers:
            self.call([server], BURST, min(BURST_SECONDS, self.seconds))
            looks.append((time.monotonic() + self.rest, server))
        for due, server in looks:
            time.sleep(max(0.0, due - time.monotonic()))
            found[server.name]["after_kib"] = server.resident_kib()
        return found


def summary(samples, floor_samples):
    """Medians over the rounds; ratios and differences are taken within a round, then their median."""
    def median(key):
        return statistics.median(sample[key] for sample in samples)

    pairs = list(zip(samples, floor_samples))
    rates = [sample["rate"] for sample in samples]
    return {
        "rate": median("rate"),
        "rate_min": min(rates),
        "rate_max": max(rates),
        "ratio": statistics.median(one["rate"] / floor["rate"] for one, floor in pairs),
        "p50_ns": median("p50"),
        "p99_ns": median("p99"),
        "server_us": median("server_us"),
        "server_us_over_floor": statistics.median(one["server_us"] - floor["server_us"] for one, floor in pairs),
        "samples": samples,
    }
