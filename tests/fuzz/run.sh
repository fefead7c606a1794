#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzz targets (build.sh) and runs each for some seconds: tests/fuzz/run.sh [SECONDS].
# Needs no nightly compiler and no cargo-fuzz.
#
# The seeds are made here, of the examples and fixtures of this tree.
set -eu
seconds=${1:-10}
root=$(cd "$(dirname "$0")/../.." && pwd)
host=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-$root/target}/$host
bin=${BPFPACK_BIN_DIR:-$built/release}
target=$root/target/fuzz
corpus=$target/corpus
"$root/tests/fuzz/build.sh"

seeds=$(mktemp -d)
trap 'rm -rf "$seeds"' EXIT
targets="annotations btf filter input lines listen modules object package records registry rewrite"
for name in $targets; do mkdir -p "$corpus/$name"; done
mkdir "$seeds/cache"
export XDG_CACHE_HOME=$seeds/cache
for source in "$root"/examples/*/*.bpf.c "$root"/tests/fixtures/*.bpf.c; do
  cp "$source" "$corpus/annotations/$(basename "$source" .bpf.c)"
done
# Objects of fixtures, of two examples, and a small one.
for name in fuzz/seed fixtures/edges fixtures/flood fixtures/perf fixtures/records fixtures/views \
  ../examples/opensnoop/opensnoop ../examples/profile/profile; do
  "$bin/ecc" "$root/tests/$name.bpf.c" -o "$seeds/$(basename "$name")" 2>/dev/null
done
object() { echo "$seeds/$1/$1.bpf.o"; }
for name in edges perf; do
  cp "$(object $name)" "$corpus/object/$name"
  cp "$seeds/$name/package.json" "$corpus/package/$name"
done
# A source that includes nothing has little debug information: a small seed that has it.
clang -g -O2 -target bpf -gdwarf-5 -gembed-source -w \
  -c "$root/tests/fuzz/seed.bpf.c" -o "$corpus/object/seed"
export BPFPACK_FUZZ_OBJECT=$corpus/object/perf
cp "$corpus/object/edges" "$corpus/object/seed" "$corpus/btf"
for name in seed edges flood perf records opensnoop profile; do
  cp "$(object $name)" "$corpus/rewrite/$name"
done
# Types, then five bytes that choose how records are shown, a record of 60 bytes, one of 280, and
# how many bytes that was.
for name in seed edges perf records views profile; do
  number=0
  for choice in '\000\000\000\002\000' '\005\004\004\000\011' '\072\001\010\005\000'; do
    number=$((number + 1))
    {
      cat "$(object $name)"
      printf "$choice\074"
      head -c 60 "$root/tests/fuzz/seed.bpf.c"
      printf '\377'
      tail -c 280 "$(object $name)"
      printf '\133\001'
    } >"$corpus/records/$name$number"
  done
done
# Text, and numbers for calls.
printf '\000(module (memory (export "memory") 3))' >"$corpus/modules/text"
printf '\001\003\001\004\002\000\002\003\001\003\007' >"$corpus/modules/calls"
for how in 1 3; do
  { printf "\\00$how"; head -c 400 "$(object perf)"; } >"$corpus/modules/many$how"
done
# Two members of four bytes, the length of the expression, that, and a record.
printf '\002\052\000\004\050\000\004\020\050\004%s\001\000\000\000dd\000' \
  'a == 1 && b ~ "^d+$" || !(a in (1ms, 3K)) ' >"$corpus/filter/numbers"
printf '\002\035\010\020\003\000\016\003\050\020%s\012\001\002\003' \
  'a in 10.0.0.0/8 or b == X or p99' >"$corpus/filter/names"
# Pieces of seven bytes.
printf '\007%16s-4711    [001] %s   828.809399: bpf_trace_printk: %s\n\n%s\n' curl '...2.' a b \
  >"$corpus/lines/event"
printf '\377%s-1 (    1) [000] %s: 0x1: x\nCPU:1 [LOST 12 EVENTS]\n' '           <...>' 5 \
  >"$corpus/lines/old"
# What holds a package.
gzip -c "$root/tests/fuzz/seed.bpf.c" >"$corpus/input/gzip"
printf '0\014package.json{"bpf_object": 1}' >"$corpus/input/archive"
printf 'bpf_object: x\nmeta: {a: [1, *b]}\n' >"$corpus/input/yaml"
printf '\177ELF{}\002\000\000\000\000\000\000\000bpfpack1' >"$corpus/input/executable"
printf '/opt/*\n/opt/x\nuntrusted comment: x\nRWQ=\ntrusted comment: version:1.2\nRWQ=\n' \
  >"$corpus/input/signature"
# The head of a request.
printf 'GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\nAccept: text/plain;q=0.5,*/*\r\n\r\n' >"$corpus/listen/head"
printf 'HEAD / HTTP/1.0\r\nAuthorization: Basic bWU6eA==\r\nConnection: close\r\n\r\n' >"$corpus/listen/old"
# Names, manifests, headers and credentials.
digest=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
printf 'oci://ghcr.io:5000/a/b:1@%s' $digest >"$corpus/registry/reference"
printf 'Basic realm="x", Bearer realm="https://h.io/t",service="h.io",scope="repository:a/b:pull"' \
  >"$corpus/registry/challenge"
layer='{"mediaType":"application/vnd.bpfpack.package.v1+json","digest":"'$digest'","size":2}'
printf '{"schemaVersion":2,"config":%s,"layers":[%s]}' "$layer" "$layer" >"$corpus/registry/manifest"
printf '{"auths":{"h.io":{"auth":"dTpw"}},"credHelpers":{"h.io":"x"},"credsStore":"y"}' \
  >"$corpus/registry/credentials"
printf '{"errors":[{"code":"DENIED","message":"no"}],"token":"t"}' >"$corpus/registry/answer"
fuzz() {
  log=$seeds/$1.log
  if ! "$built/debug/$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -max_len=300000 -artifact_prefix="$target/$1-" -print_final_stats=1 \
    "$corpus/$1" >"$log" 2>&1; then
    tail -40 "$log" >&2
    echo "fuzz: $1 failed; its input is $target/$1-*" >&2
    return 1
  fi
  runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  echo "fuzz: $1, $seconds s, runs: $runs"
}
# As many at a time as there are processors.
finish() { for pid in $running; do wait "$pid" || failed=1; done; }
failed=0
running=
count=0
for name in $targets; do
  fuzz "$name" &
  running="$running $!"
  count=$((count + 1))
  [ $((count % $(nproc))) != 0 ] || { finish; running=; }
done
finish
exit $failed
