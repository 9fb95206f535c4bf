#!/usr/bin/env bash
# Runs spec files, each in a busted process of its own, and adds their totals up: the last line is "N passed, N failed".
#   scripts/specs.sh BUILD_DIR [FILE_OR_DIRECTORY...]     (default: spec)
# Two files run at a time (SPEC_JOBS), the longest first. A file with a line "-- alone: REASON" among its first ten runs
# while nothing else does, after the others. One with a line "-- unsanitized: REASON" is left out where FRACTAL_QUICK is
# set, as it is for sanitizers. A file that failed beside others is repeated alone at the end, and its
# second result counts. A file that crashes, runs out of time or runs nothing counts as one failure.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/leftovers.sh
. scripts/leftovers.sh

build=$1
shift
jobs=${SPEC_JOBS:-2}
file_seconds=600                # the limit of one file
known_seconds=$build/spec-seconds # how long each file took last time: "SECONDS FILE"
base=$(mktemp -d "${TMPDIR:-/tmp}/XXX") # short: Lua cuts long names of scripts in its messages
chmod 1777 "$base"

declare -A running=() begun=() directory=() # by pid: the file, when it began, where it works
declare -A seconds=()                        # by file
count=0 passed=0 failed=0
again=() repeated=()

stop() {
  [ ${#running[@]} -eq 0 ] || kill "${!running[@]}" 2>/dev/null
  clear_leftovers "$base" >/dev/null
  rm -rf --one-file-system "$base"
}
trap stop EXIT
trap 'exit 143' TERM INT HUP PIPE

# has_mark FILE MARK: is there a line "-- MARK: REASON" where a file begins?
has_mark() {
  head -n 10 "$1" | grep -q "^-- $2: "
}

# Names the files, the longest first: by the time they took last, else by their size.
longest_first() {
  find "$@" -name '*_spec.lua' -printf '%s %p\n' |
    awk -v known="$known_seconds" '
      BEGIN { while ((getline <known) > 0) took[$2] = $1 }
      { print ($2 in took ? took[$2] : $1 / 1000), $2 }' |
    sort -k 1,1nr -k 2 | cut -d ' ' -f 2
}

start() {
  local dir=$base/$((++count)) pid
  mkdir -m 1777 "$dir"
  TMPDIR=$dir FRACTAL_BUILD=$build timeout -k 10 "$file_seconds" busted "$1" </dev/null >"$dir.log" 2>&1 &
  pid=$!
  running[$pid]=$1 begun[$pid]=${EPOCHREALTIME/./} directory[$pid]=$dir
}

# Reads the totals of a file's output; sets good, bad and why, which says what the output does not.
judge() {
  local log=$1 status=$2 pending
  read -r good bad pending < <(awk '
    /^[0-9]+ passed, [0-9]+ failed$/ { good = $1; bad = $3 }
    /^[0-9]+ pending$/ { pending = $1 }
    END { print good + 0, bad + 0, pending + 0 }' "$log")
  why=
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    why="ran out of time after $file_seconds s"
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    why="stopped with status $status"
  elif [ $((good + bad + pending)) -eq 0 ]; then
    why="ran nothing"
  fi
  [ -z "$why" ] || bad=$((bad + 1))
}

# The first failure of a file's output, in one line.
first_failure() {
  awk '
    /^not ok  / { sub(/^not ok  /, ""); line = $0; more = 2; next }
    line && more-- > 0 && /^    / { sub(/^ */, ""); line = line ": " $0; next }
    line { exit }
    END { print substr(line, 1, 400) }' "$1"
}

# Waits for one of the running files, prints its output and counts it.
# With "beside others", a failure is not counted: the file comes into the list of those to repeat.
finish_one() {
  local pid status file dir good bad why
  wait -n -p pid "${!running[@]}"
  status=$?
  file=${running[$pid]} dir=${directory[$pid]}
  unset "running[$pid]"
  seconds[$file]=$(awk -v us=$((${EPOCHREALTIME/./} - begun[$pid])) 'BEGIN { printf "%.1f", us / 1e6 }')
  judge "$dir.log" "$status"
  printf -- '-- %s: %d passed, %d failed%s (%s s)\n' "$file" "$good" "$bad" "${why:+: $why}" "${seconds[$file]}"
  grep -vE '^[0-9]+ passed, [0-9]+ failed$' "$dir.log"
  clear_leftovers "$dir"
  if [ "$bad" -gt 0 ] && [ "${1:-}" = "beside others" ]; then
    again+=("$file")
    repeated+=("repeated alone: $file (failed beside others: ${why:-$(first_failure "$dir.log")})")
  else
    passed=$((passed + good)) failed=$((failed + bad))
  fi
}

keep_seconds() {
  local file
  {
    for file in "${!seconds[@]}"; do echo "${seconds[$file]} $file"; done
    [ ! -e "$known_seconds" ] || cat "$known_seconds"
  } | awk '!seen[$2]++' | sort -k 1,1nr >"$base/seconds" && cp "$base/seconds" "$known_seconds"
}

report() {
  local file
  echo "seconds of each file:"
  for file in "${!seconds[@]}"; do printf '%8.1f  %s\n' "${seconds[$file]}" "$file"; done | sort -k 1,1nr
  [ ${#repeated[@]} -eq 0 ] || printf '%s\n' "${repeated[@]}"
  echo "$passed passed, $failed failed"
}

[ $# -gt 0 ] || set -- spec
for path in "$@"; do
  [ -e "$path" ] || { echo "specs: there is no $path" >&2; exit 2; }
done
mapfile -t files < <(longest_first "$@")
alone=()
for file in "${files[@]}"; do
  if [ -n "${FRACTAL_QUICK:-}" ] && has_mark "$file" unsanitized; then
    echo "left out: $file"
    continue
  elif [ "$jobs" -lt 2 ] || has_mark "$file" alone; then
    alone+=("$file")
    continue
  fi
  [ ${#running[@]} -lt "$jobs" ] || finish_one "beside others"
  start "$file"
done
while [ ${#running[@]} -gt 0 ]; do
  finish_one "beside others"
done
for file in "${alone[@]}" "${again[@]}"; do
  start "$file"
  finish_one
done
keep_seconds
report
[ "$failed" -eq 0 ] && [ $((passed + failed)) -gt 0 ]
