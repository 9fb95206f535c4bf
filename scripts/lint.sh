#!/usr/bin/env bash
# Checks style and finds mistakes without running anything: clang-format and clang-tidy on the C files, luacheck on
# the Lua files, bash -n on the scripts. Each file counts once for each tool; the last line is "N passed, N failed".
#   scripts/lint.sh [BUILD_DIR]    BUILD_DIR holds compile_commands.json (default: build)
set -uo pipefail
cd "$(dirname "$0")/.."

build=${1:-build}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Files of the work tree (tracked or new, not ignored) in these directories that match the patterns.
files() {
  git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    [ -e "$file" ] && echo "$file"
  done
}

compiled_files() {
  files '*.c' | while read -r file; do
    grep -qF "\"file\": \"$PWD/$file\"" "$build/compile_commands.json" && echo "$file"
  done
}

# check NAME COMMAND... : runs the command on each file that standard input names, several at a time.
check() {
  local name=$1
  shift
  mkdir -p "$results/$name"
  # shellcheck disable=SC2016
  xargs -r -d '\n' -P "$(nproc)" -I '{}' bash -c '
    log=$1/${2//\//+} file=$2
    shift 2
    timeout 300 "$@" "$file" >"$log" 2>&1 || mv "$log" "$log.failed"
  ' bash "$results/$name" '{}' "$@"
  local failed total log file
  total=$(find "$results/$name" -type f | wc -l)
  failed=$(find "$results/$name" -name '*.failed' | wc -l)
  for log in "$results/$name"/*.failed; do
    [ -e "$log" ] || continue
    file=$(basename "$log" .failed)
    echo "$name: ${file//+//}"
    head -n 40 "$log" | sed 's/^/    /'
  done
  echo "$name: $((total - failed)) passed, $failed failed"
}

if [ ! -e "$build/compile_commands.json" ]; then
  echo "lint: no $build/compile_commands.json; run make build first" >&2
  exit 2
fi

files '*.c' '*.h' | check clang-format clang-format --dry-run -Werror
compiled_files | check clang-tidy clang-tidy --quiet -p "$build"
files '*.lua' .busted .luacheckrc '*.rockspec' | check luacheck luacheck --quiet --formatter plain
files '*.sh' .ci/run packaging/mount.fractal-lua.in | check bash bash -n

total=$(find "$results" -type f | wc -l)
failed=$(find "$results" -name '*.failed' | wc -l)
echo "$((total - failed)) passed, $failed failed"
[ "$failed" -eq 0 ]
