"""The servers that are measured: how each is built, mounted, watched and unmounted.

Every server offers the same null filesystem: a directory with one 1 GiB file named "file", all
timeouts 0, direct I/O, reads of constant bytes, writes dropped.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time

MOUNT_SECONDS = 15  # until a server must answer
STOP_SECONDS = 5  # until a server must have ended
BUILD_SECONDS = 900

HEADERS_OF_LIBFUSE = ("pkg-config --exists fuse3", "libfuse's headers (Debian: libfuse3-dev)")
COMPILER = ("command -v cc", "a C compiler")
CARGO = ("command -v cargo", "cargo")

# name: what must be there (a test command, its name), how to build in a copy of peers/NAME
# with $OUT as the place for results, and the commands of its servers.
PEERS = {
    "libfuse": (
        (COMPILER, HEADERS_OF_LIBFUSE),
        "cc -O2 -o $OUT/null null.c $(pkg-config --cflags --libs fuse3)",
        {"libfuse": "{out}/null {mnt}"},
    ),
    "fractal-fuse": (
        (CARGO, ("command -v fusermount3", "fusermount3 (Debian: fuse3)")),
        "cargo build --release --target-dir $OUT/target",
        {
            "fractal-fuse": "{out}/target/release/null-fractal-fuse {mnt}",
            "fractal-fuse q8": "{out}/target/release/null-fractal-fuse {mnt} 8",
        },
    ),
    "fuser": (
        (CARGO,),
        "cargo build --release --target-dir $OUT/target",
        {"fuser": "{out}/target/release/null-fuser {mnt}"},
    ),
    "go-fuse": (
        (("command -v go", "go"),),
        "go build -o $OUT/null .",
        {"go-fuse": "{out}/null {mnt}"},
    ),
    "pyfuse3": (
        (COMPILER, HEADERS_OF_LIBFUSE),
        "$PYTHON -m venv $OUT/venv && $OUT/venv/bin/pip install --quiet -r requirements.txt",
        {"pyfuse3": "{out}/venv/bin/python {out}/source/null.py {mnt}"},
    ),
}

LUA = "{lua} -o transport=uring,state={state} {script} {{mnt}}"
OURS = {
    "lua": LUA.replace("{state}", "per-worker"),
    "lua-pinned": LUA.replace("{state}", "per-worker,sched=other"),
    "lua-single": LUA.replace("{state}", "single"),
    "lua-dev": LUA.replace("{state}", "per-worker").replace("uring", "dev"),
    "embed": "{build}/bench_null_embed {{mnt}}",
}


# For rows of their own: the command, and the path of the file below the mountpoint.
SPECIAL = {
    "file": ("{build}/bench_null_embed -f {source} {{mnt}}", "file"),
    "lua-file": ("{lua} -o transport=uring,state=per-worker,source={source} {here}/file.lua {{mnt}}", "file"),
    "lua-waits": ("{lua} -o transport=uring,state=per-worker {here}/waits.lua {{mnt}}", "file"),
    "lua-sleeps": ("{lua} -o transport=uring,workers=1,queue_depth=64 {here}/waits.lua {{mnt}}", "file"),
    "lua-path": ("{lua} -o transport=uring,state=per-worker {here}/path.lua {{mnt}}", "a/b/c/file"),
}


class CannotBuild(Exception):
    """A peer that is left out, and why."""


class ServerFailed(Exception):
    """A server that did not mount or died."""


class Server:
    """A server process and its mount.

    command: its words, with {mnt} for the mountpoint. says_ready: it prints a line that begins
    with "mounted " once it answers; the others are asked until they do.
    """

    def __init__(self, name, command, *, says_ready, is_peer=False, path="file"):
        self.name = name
        self.path = path
        self.command = command
        self.says_ready = says_ready
        self.is_peer = is_peer
        self.process = None
        self.mountpoint = None

    @property
    def file(self):
        return os.path.join(self.mountpoint, self.path)

    def start(self, log_dir):
        """Mounts in a fresh directory and waits until the file can be seen; raises ServerFailed."""
        log_dir.mkdir(parents=True, exist_ok=True)
        self.log = log_dir / (self.name.replace(" ", "-") + ".log")
        self.mountpoint = os.path.realpath(tempfile.mkdtemp(prefix="fractal-bench-"))
        words = [word.format(mnt=self.mountpoint) for word in self.command]
        try:
            with open(self.log, "w", encoding="utf-8") as log:
                self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                start_new_session=True)
        except OSError as error:
            raise ServerFailed(f"{self.name}: cannot start {words[0]}: {error.strerror}") from error
        deadline = time.monotonic() + MOUNT_SECONDS
        while not (self._is_mounted() and self._is_ready() and self._answers()):
            if self.process.poll() is not None:
                raise ServerFailed(f"{self.name} ended while mounting, {self._last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not mount within {MOUNT_SECONDS} s, {self._last_words()}")
            time.sleep(0.05)

    def restart(self):
        """A new process and mount of the same server."""
        self.stop()
        self.start(self.log.parent)

    def _is_mounted(self):
        with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
            for line in mounts:
                if line.split()[4] == self.mountpoint:
                    return True
        return False

    def _is_ready(self):
        if not self.says_ready:
            return True
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return any(line.startswith("mounted ") for line in log)

    def _answers(self):
        probe = subprocess.run(["timeout", "-k", "1", "2", "stat", self.file], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False)
        return probe.returncode == 0

    def _last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            lines = log.read().strip().splitlines()
        return f"log {self.log}: {lines[-1] if lines else '(empty)'}"

    def cpu_seconds(self):
        """CPU time, user and system, of all threads so far, by the process's CPU clock."""
        if self.process.poll() is not None:
            raise ServerFailed(f"{self.name} died, {self._last_words()}")
        cpu_clock = (~self.process.pid << 3) | 2  # what clock_getcpuclockid(3) returns
        return time.clock_gettime(cpu_clock)

    def resident_kib(self):
        """VmRSS."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        return 0

    def kill(self):
        """Ends the process, and with it the connection: every waiting caller gets an error."""
        self.process.kill()

    def stop(self):
        """Unmounts and ends the process, by force where needed. Never raises."""
        if self.mountpoint is None:
            return
        if self._is_mounted() and not self._run("umount", self.mountpoint):
            self.kill()
            self._run("umount", "-l", self.mountpoint)
        if self.process is not None:
            self._end_process()
        try:
            os.rmdir(self.mountpoint)
        except OSError as error:
            print(f"bench: {self.mountpoint} is left behind: {error.strerror}", file=sys.stderr)
        self.mountpoint = None

    @staticmethod
    def _run(*words):
        done = subprocess.run(["timeout", "-k", "1", "10", *words], stderr=subprocess.DEVNULL, check=False)
        return done.returncode == 0

    def _end_process(self):
        for ask in (lambda: None, self.process.terminate, self.kill):
            ask()
            try:
                self.process.wait(STOP_SECONDS)
                return
            except subprocess.TimeoutExpired:
                continue
        print(f"bench: {self.name} (pid {self.process.pid}) does not end", file=sys.stderr)


def floor(build, copies):
    """The yardstick; with @copies it copies read data from a buffer of its own."""
    options = ["-c"] if copies else []
    return Server("floor -c" if copies else "floor", [str(build / "bench_floor"), *options, "{mnt}"],
                  says_ready=True)


def ours(name, build, fractal_lua, script):
    words = OURS[name].split()
    return Server(name, [word.format(build=build, lua=fractal_lua, script=script) for word in words],
                  says_ready=True)


def special(name, build, fractal_lua, here, source):
    """A server of SPECIAL; @source: the file that it serves."""
    command, path = SPECIAL[name]
    words = [word.format(build=build, lua=fractal_lua, here=here, source=source) for word in command.split()]
    return Server(name, words, says_ready=True, path=path)


def peer(name, sources, build):
    """Builds a peer in a copy of its sources below @build; returns its servers. Raises CannotBuild."""
    needs, recipe, commands = PEERS[name]
    for test, what in needs:
        if subprocess.run(test, shell=True, stdout=subprocess.DEVNULL, check=False).returncode != 0:
            raise CannotBuild(f"{what} is not installed")
    out = build / "peers" / name
    shutil.copytree(sources / name, out / "source", dirs_exist_ok=True)
    print(f"building {name}", flush=True)
    with open(out / "build.log", "w", encoding="utf-8") as log:
        try:
            subprocess.run(recipe, shell=True, cwd=out / "source", stdout=log, stderr=log, check=True,
                           timeout=BUILD_SECONDS, env={**os.environ, "OUT": str(out), "PYTHON": sys.executable})
        except subprocess.SubprocessError as error:
            raise CannotBuild(f"it does not build, see {out / 'build.log'}") from error
    return [Server(server, [word.replace("{out}", str(out)) for word in command.split()], says_ready=False,
                   is_peer=True) for server, command in commands.items()]
