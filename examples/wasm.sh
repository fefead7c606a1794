#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the Wasm modules of the examples. One of them contains a BPF object, which ecc compiles.
#
#   examples/wasm.sh OUT_DIR [DIR_OF_ECC]
#
# CLANG and RUSTC name other compilers. Exits with 3 if a program or a library is missing.
set -eu
[ $# = 1 ] || [ $# = 2 ] || {
  echo "usage: examples/wasm.sh OUT_DIR [DIR_OF_ECC]" >&2
  exit 2
}
here=$(cd "$(dirname "$0")" && pwd)
sdk=$here/../runner/sdk
mkdir -p "$1"
out=$(cd "$1" && pwd)
ecc=ecc
[ $# = 1 ] || ecc=$(cd "$2" && pwd)/ecc
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

needs() {
  echo "error: $1" >&2
  echo "  to install it on Debian and Ubuntu: apt-get install $2" >&2
  exit 3
}

clang=${CLANG:-clang}
command -v "$clang" >/dev/null || needs "\`$clang\` is not there" "clang"
echo 'int x;' >"$scratch/x.c"
"$clang" --target=wasm32-unknown-unknown -c "$scratch/x.c" -o "$scratch/x.o" 2>/dev/null ||
  needs "\`$clang\` cannot compile for wasm32" "clang"
"$clang" --target=wasm32-unknown-unknown -nostdlib -Wl,--no-entry "$scratch/x.o" \
  -o "$scratch/x.wasm" 2>/dev/null || needs "the linker \`wasm-ld\` is missing" "lld"
echo 'int main(void) { return 0; }' >"$scratch/x.c"
"$clang" --target=wasm32-wasi "$scratch/x.c" -o "$scratch/x.wasm" 2>/dev/null ||
  needs "there is no C library for wasm32-wasi" \
    "wasi-libc libclang-rt-$("$clang" -dumpversion | cut -d. -f1)-dev-wasm32"

target=wasm32-unknown-unknown
# The rustc of rustup if it has the target, otherwise Debian's.
rustc=
for candidate in ${RUSTC:-rustc /usr/bin/rustc}; do
  libraries=$("$candidate" --print target-libdir --target "$target" 2>/dev/null) || continue
  [ -d "$libraries" ] || continue
  rustc=$candidate
  break
done
[ -n "$rustc" ] || needs "no \`rustc\` has a library for wasm32-unknown-unknown
  with rustup: rustup target add wasm32-unknown-unknown" "rustc libstd-rust-dev-wasm32"

compile() {
  "$clang" -O2 -Wall -Wextra -Werror -I "$sdk/c" -I "$scratch" "$@"
}

# Post-processors need no C library.
for source in hardirqs/p99.c processes/lifetimes.c; do
  compile --target=$target -nostdlib -Wl,--no-entry,--strip-debug \
    "$here/$source" -o "$out/$(basename "$source" .c).wasm"
done

"$rustc" --edition 2021 --target $target -O --crate-name bpfpack --crate-type rlib \
  --cfg 'feature="alloc"' "$sdk/rust/src/lib.rs" --out-dir "$scratch"
"$rustc" --edition 2021 --target $target -O --crate-type cdylib \
  -C lto -C panic=abort -C strip=debuginfo --extern bpfpack="$scratch/libbpfpack.rlib" \
  "$here/opensnoop/directories.rs" --out-dir "$out"

cp "$here/opensnoop/failed.wat" "$out"

# A module that is a whole tracer contains its BPF object, which ecc writes.
command -v "$ecc" >/dev/null || { echo "error: \`$ecc\` is not there; see make build" >&2; exit 1; }
"$ecc" "$here/bootstrap/bootstrap.bpf.c" -o "$scratch"
compile --target=wasm32-wasi -Wl,--export-table,--strip-debug \
  "$here/bootstrap/whole.c" -o "$out/bootstrap.wasm"
