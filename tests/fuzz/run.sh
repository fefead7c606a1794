#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs each fuzz target for some seconds: tests/fuzz/run.sh [SECONDS]. Needs no nightly compiler and
# no cargo-fuzz; longer runs with cargo-fuzz: cargo fuzz run --fuzz-dir tests/fuzz -s none object
#
# The seeds are made here, of the examples and fixtures of this tree.
set -eu
seconds=${1:-10}
root=$(cd "$(dirname "$0")/../.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
bin=${BPFPACK_BIN_DIR:-$root/target/$host/release}
target=$root/target/fuzz
corpus=$target/corpus
# What cargo-fuzz passes, without a sanitizer: coverage of branches and comparisons.
RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing"
export RUSTFLAGS
CARGO_TARGET_DIR=$target cargo build --quiet --release --locked --target "$host" \
  --manifest-path "$root/tests/fuzz/Cargo.toml"
unset RUSTFLAGS

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
mkdir -p "$corpus/annotations" "$corpus/btf" "$corpus/object" "$corpus/package" "$seeds/cache"
export XDG_CACHE_HOME=$seeds/cache
for source in "$root"/examples/*/*.bpf.c "$root"/tests/fixtures/*.bpf.c; do
  name=$(basename "$source" .bpf.c)
  cp "$source" "$corpus/annotations/$name"
done
for source in "$root"/tests/fixtures/edges.bpf.c "$root"/tests/fixtures/perf.bpf.c; do
  name=$(basename "$source" .bpf.c)
  "$bin/ecc" "$source" -o "$seeds/$name" 2>/dev/null
  cp "$seeds/$name/$name.bpf.o" "$corpus/object/$name"
  cp "$seeds/$name/package.json" "$corpus/package/$name"
done
# A source that includes nothing has little debug information: a small seed that has it.
clang -g -O2 -target bpf -gdwarf-5 -gembed-source -w \
  -c "$root/tests/fuzz/seed.bpf.c" -o "$corpus/object/seed"
export BPFPACK_FUZZ_OBJECT=$corpus/object/perf
cp "$corpus/object/edges" "$corpus/object/seed" "$corpus/btf"
for name in annotations btf object package; do
  echo "fuzz: $name, $seconds s"
  log=$seeds/$name.log
  if ! "$target/$host/release/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=300000 -artifact_prefix="$target/$name-" -print_final_stats=1 \
    "$corpus/$name" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz: $name failed; its input is $target/$name-*" >&2
    exit 1
  fi
  sed -n 's/^stat::number_of_executed_units: *//p' "$log" | sed 's/^/fuzz:   runs: /'
done
