#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing to build and to test, on Debian and Ubuntu. Quick where nothing is.
#
#   tests/setup.sh [build] [test]
set -eu
build="gcc libc6-dev make pkg-config libelf-dev zlib1g-dev clang"
# libbpf-tools: the same tools in C, to compare with. mount, iproute2: cgroups and interfaces.
# g++: the fuzzers' runtime. codespell: `make lint`. docker-registry, skopeo, openssl,
# apache2-utils: packages in registries. The rest: Wasm modules in C and Rust (examples/wasm.sh).
test="libbpf-tools mount iproute2 g++ codespell lld wasi-libc libclang-rt-14-dev-wasm32 rustc \
libstd-rust-dev-wasm32 docker-registry skopeo openssl apache2-utils minisign"
wanted=
for part in "$@"; do
  case $part in
    build) wanted="$wanted $build" ;;
    test) wanted="$wanted $test" ;;
    *) echo "usage: tests/setup.sh [build] [test]" >&2; exit 2 ;;
  esac
done
command -v cargo >/dev/null || {
  echo "error: Rust is not installed (cargo is not in the PATH); see https://rustup.rs" >&2
  exit 1
}
command -v dpkg-query >/dev/null || {
  echo "note: no Debian packages here; needed are the equivalents of:$wanted" >&2
  exit 0
}
missing=
for package in $wanted; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || {
  echo "error: missing packages; as root: apt-get install$missing" >&2
  exit 1
}
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
# shellcheck disable=SC2086 # a list of words
apt-get -qq install -y --no-install-recommends $missing >/dev/null
