#!/usr/bin/env bash
# Feeds the decoders random input: builds every spec/c/fuzz_*.c with clang's libFuzzer, AddressSanitizer and UBSan, and
# runs each for FUZZ_SECONDS (default 60). New inputs are kept in BUILD-fuzz/corpus. Exit status 1 on a finding.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${BUILD:-build}-fuzz
seconds=${FUZZ_SECONDS:-60}

CC=clang cmake -S . -B "$build" -G Ninja -DFRACTAL_FUZZ=ON -DFRACTAL_SANITIZE=address,undefined >/dev/null
cmake --build "$build" --target fuzzers
failed=0
for source in spec/c/fuzz_*.c; do
  name=$(basename "$source" .c)
  mkdir -p "$build/corpus/$name"
  echo "== $name, $seconds s"
  timeout -k 10 $((seconds + 60)) "$build/$name" -max_total_time="$seconds" -print_final_stats=1 \
    -artifact_prefix="$build/$name-" "$build/corpus/$name" || failed=$((failed + 1))
done
[ "$failed" -eq 0 ] || echo "fuzz: $failed with findings; the inputs are $build/fuzz_*-*" >&2
[ "$failed" -eq 0 ]
