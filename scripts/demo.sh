#!/usr/bin/env bash
# Mounts examples/memfs.lua, does ordinary file work on it where you can watch, shows what the server counted,
# and unmounts.
#   scripts/demo.sh [BUILD_DIR]    default: build
set -euo pipefail
cd "$(dirname "$0")/.."

command=$PWD/${1:-build}/fractal-lua
case ${1:-} in /*) command=$1/fractal-lua ;; esac
script=$PWD/examples/memfs.lua
work=$(mktemp -d "${TMPDIR:-/tmp}/fractal-demo.XXXXXX")
mnt=$work/mnt
log=$work/log
server=
mkdir "$mnt"

is_mounted() {
  awk -v dir="$mnt" '$5 == dir { found = 1 } END { exit !found }' /proc/self/mountinfo
}

finish() {
  [ -z "$server" ] || kill -INT "$server" 2>/dev/null || true
  ! is_mounted || umount -l "$mnt" 2>/dev/null || fusermount3 -uz "$mnt" 2>/dev/null || true
  rm -rf --one-file-system "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Shows a command line and runs it in the mount; no client may hang for longer than half a minute.
show() {
  printf '\n\033[1m$ %s\033[0m\n' "$1"
  (cd "$mnt" && timeout -k 5 30 bash -c "set -o pipefail; $1")
}

start() {
  echo "$ fractal-lua --stats examples/memfs.lua $mnt &"
  "$command" --stats "$script" "$mnt" >"$log" 2>&1 &
  server=$!
  for _ in $(seq 100); do
    grep -q '^mounted ' "$log" && break
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$log"
  if ! grep -q '^mounted ' "$log"; then
    echo "demo: the filesystem did not come up" >&2
    exit 1
  fi
}

stop() {
  printf '\n\033[1m$ kill -INT %s\033[0m    (Ctrl-C)\n' "$server"
  local lines status=0
  lines=$(wc -l <"$log")
  kill -INT "$server"
  wait "$server" || status=$?
  server=
  tail -n "+$((lines + 1))" "$log" | sed 's/^fractal-lua: //'
  echo "the server ended with status $status; still mounted: $(is_mounted && echo yes || echo no)"
  return "$status"
}

start
show 'echo "hello from a Lua table" > greeting && cat greeting'
show 'mkdir -p music/1967 && ln -s ../../greeting music/1967/link && ln greeting hard && ls -l . music/1967'
show 'stat -c "%n: %s bytes, mode %a, %h links, inode %i" greeting hard'
show "cp -r '$PWD/examples' copy && diff -r '$PWD/examples' copy && echo the copy is the same"
show 'seq 1 10000 > numbers && sed -i "/7/d" numbers && wc -l numbers'
show 'mkdir many && (cd many && seq -f "file-%g" 1 2000 | xargs touch) && ls many | wc -l'
show 'dd if=/dev/urandom of=big bs=1M count=64 status=none && sha256sum big && mv big music/ && sha256sum music/big'
show 'dd if=music/big of=/dev/null bs=1M iflag=direct 2>&1 | tail -n 1'
if command -v git >/dev/null; then
  show 'git init -q repo && cd repo && cp -r ../copy . && git add . && git -c user.name=demo -c user.email=demo@localhost commit -qm "in memory" && git fsck && git log --oneline'
fi
show 'rm -r many copy && find . -path ./repo -prune -o -print | sort'
show 'df -h . | tail -n 1'
stop
