#!/bin/sh
# SPDX-License-Identifier: MIT
# Packs examples/hardirqs and runs it for five seconds, while dd reads the disk past the page cache.
#
#   examples/demo.sh DIR      where DIR contains ecc and ecli
set -eu
bin=$1
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || { echo "error: tracing needs root" >&2; exit 1; }
work=$(mktemp -d)
file=$(mktemp /var/tmp/bpfpack-demo.XXXXXX)
load=
finish() {
  [ -z "$load" ] || kill "$load" 2>/dev/null || :
  wait 2>/dev/null || :
  rm -rf "$work" "$file"
}
trap finish EXIT
trap 'exit 130' INT TERM

echo "\$ ecc hardirqs.bpf.c"
"$bin/ecc" -v "$here/hardirqs/hardirqs.bpf.c" -o "$work" 2>&1 | grep -v clang
dd if=/dev/zero of="$file" bs=1M count=16 conv=fsync status=none
(
  end=$(($(date +%s) + 6))
  while [ "$(date +%s)" -lt "$end" ]; do
    # Not every file system supports direct I/O. Other interrupts occur in any case.
    dd if="$file" of=/dev/null bs=4k iflag=direct status=none 2>/dev/null || sleep 1
  done
) &
load=$!
echo "\$ sudo ecli run --interval 5s --duration 5s package.json --targ_dist"
"$bin/ecli" run --interval 5s --duration 5s "$work/package.json" --targ_dist
