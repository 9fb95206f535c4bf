#!/usr/bin/env bash
# Runs the checks, each stage under a time limit, and adds their totals up. The last line is "N passed, N failed".
#   scripts/test.sh [STAGE...]     stages: lint ctest spec asan tsan (default: all)
# BUILD names the build directory (default build); sanitizers build in BUILD-asan and BUILD-tsan. SPECS limits the
# specs to these files or directories, which scripts/specs.sh runs. A stage that crashes, runs out of time or runs
# nothing counts as one failure.
set -uo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/leftovers.sh
. scripts/leftovers.sh

build=${BUILD:-build}

# build_in DIR TARGET CMAKE_OPTION...
build_in() {
  local dir=$1 target=$2
  shift 2
  cmake -S . -B "$dir" -G Ninja "$@" >/dev/null && cmake --build "$dir" --target "$target" -- --quiet
}

# Runs ctest in a build directory and says its totals in the common form.
run_ctest() {
  local output
  output=$(ctest --test-dir "$1" --output-on-failure --timeout 300 -j 1 2>&1)
  local status=$?
  echo "$output"
  awk '
    match($0, /[0-9]+ tests failed out of [0-9]+/) {
      split(substr($0, RSTART, RLENGTH), word, " ")
      failed = word[1]; total = word[6]; seen = 1
    }
    /\*\*\*Skipped/ { skipped++ }
    END {
      if (seen && skipped) printf "%d skipped\n", skipped
      if (seen) printf "%d passed, %d failed\n", total - failed - skipped, failed
    }' <<<"$output"
  return $status
}

# run_specs BUILD_DIR [FILE_OR_DIRECTORY...]
run_specs() {
  # shellcheck disable=SC2086
  [ -z "${SPECS:-}" ] || set -- "$1" $SPECS
  scripts/specs.sh "$@"
}

stage_lint() {
  build_in "$build" all && scripts/lint.sh "$build"
}

stage_ctest() {
  build_in "$build" all && run_ctest "$build"
}

stage_spec() {
  build_in "$build" all && run_specs "$build"
}

stage_asan() {
  build_in "$build-asan" all -DFRACTAL_SANITIZE=address,undefined || return
  export ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
  export LSAN_OPTIONS=report_objects=1 FRACTAL_QUICK=1
  local status=0
  run_ctest "$build-asan" || status=1
  run_specs "$build-asan" spec/mount || status=1
  return $status
}

stage_tsan() {
  build_in "$build-tsan" c_tests -DFRACTAL_SANITIZE=thread || return
  export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  run_ctest "$build-tsan"
}

# A stage runs in a shell of its own, under the limit that the main part sets.
if [ "${1:-}" = --stage ]; then
  "stage_$2"
  exit
fi

# Everything the specs make lies below this directory, so that what a stage leaves behind can be found.
TMPDIR=$(mktemp -d "${TMPDIR:-/tmp}/fractal.XXXXXX")
export TMPDIR
chmod 1777 "$TMPDIR"
logs=$TMPDIR/logs
mkdir "$logs"

stage_seconds() {
  case $1 in
    spec) echo 1800 ;;
    asan) echo 2400 ;;
    *) echo 900 ;;
  esac
}

trap 'clear_leftovers "$TMPDIR" >/dev/null; rm -rf --one-file-system "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

# Sanitizers reserve fixed address ranges that full address randomization may occupy.
wrapper_of() {
  case $1 in
    asan | tsan) if setarch -R true 2>/dev/null; then echo setarch -R; fi ;;
  esac
}

stages=("$@")
[ $# -gt 0 ] || stages=(lint ctest spec asan tsan)
for stage in "${stages[@]}"; do
  if ! declare -F "stage_$stage" >/dev/null; then
    echo "test: no stage called $stage; there are lint, ctest, spec, asan, tsan" >&2
    exit 2
  fi
done

passed=0 failed=0 summary=
for stage in "${stages[@]}"; do
  echo "== $stage"
  begun=$SECONDS
  # shellcheck disable=SC2046
  timeout -k 30 "$(stage_seconds "$stage")" $(wrapper_of "$stage") "$0" --stage "$stage" 2>&1 | tee "$logs/$stage"
  status=${PIPESTATUS[0]}
  clear_leftovers "$TMPDIR"
  read -r good bad < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { good += $1; bad += $3 } END { print good + 0, bad + 0 }' \
    "$logs/$stage")
  note=
  if [ "$status" -eq 124 ] || [ "$status" -eq 137 ]; then
    note=" (ran out of time)"
  elif [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
    note=" (stopped with status $status)"
  elif [ $((good + bad)) -eq 0 ]; then
    note=" (ran nothing)"
  fi
  [ -z "$note" ] || bad=$((bad + 1))
  passed=$((passed + good)) failed=$((failed + bad))
  summary+=$(printf '%-6s %5d passed %5d failed %5d s%s' "$stage" "$good" "$bad" $((SECONDS - begun)) "$note")$'\n'
  repeated=$(sed -n 's/^repeated alone: /  &/p' "$logs/$stage")
  summary+=${repeated:+$repeated$'\n'}
done

printf '\n%s%d passed, %d failed\n' "$summary" "$passed" "$failed"
[ "$failed" -eq 0 ]
