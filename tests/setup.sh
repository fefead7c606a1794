#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing to build and to test, on Debian and Ubuntu. Quick where nothing is.
#
#   tests/setup.sh [build] [test]
#
# Part `test` also makes target/python with the packages of tests/python.txt, gets Prometheus and
# VictoriaMetrics into target/servers, and a kernel for virtual machines into the user's cache; it
# installs none of them on the machine.
set -eu
build="gcc libc6-dev make pkg-config libelf-dev zlib1g-dev clang"
# libbpf-tools: the same tools in C, to compare with. mount, iproute2: cgroups and interfaces.
# g++: the fuzzers' runtime. codespell: `make lint`. docker-registry, skopeo, openssl,
# apache2-utils: packages in registries. zstd: compressed packages. python3-venv: tests/python.txt.
# qemu-system-x86, xz-utils: other kernels. libcap2-bin, systemd: examples/kubernetes,
# examples/systemd. The rest: Wasm modules in C and Rust (examples/wasm.sh).
test="libbpf-tools mount iproute2 g++ codespell lld wasi-libc libclang-rt-14-dev-wasm32 rustc \
libstd-rust-dev-wasm32 docker-registry skopeo openssl apache2-utils minisign zstd python3-venv \
qemu-system-x86 xz-utils libcap2-bin systemd"
here=$(dirname "$0")

fail() {
  echo "error: $*" >&2
  exit 1
}

# Installs those of the given Debian packages that are missing.
packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  [ "$(id -u)" = 0 ] || fail "missing packages; as root: apt-get install$missing"
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update
  # shellcheck disable=SC2086 # a list of words
  apt-get -qq install -y --no-install-recommends $missing >/dev/null
}

# Makes target/python with the packages of tests/python.txt, unless it already has exactly these.
python() {
  wanted=$here/python.txt
  venv=$here/../target/python
  ! cmp -s "$wanted" "$venv/made-from" || return 0
  # Debian's Python, for which python3-venv is. Another one may come first in PATH.
  python=/usr/bin/python3
  [ -x "$python" ] || python=python3
  echo "making target/python from tests/python.txt"
  mkdir -p "$here/../target"
  "$python" -m venv --clear "$venv" &&
    "$venv/bin/python" -m pip -q --disable-pip-version-check install -r "$wanted" ||
    fail "cannot install the packages of tests/python.txt: is there a network, and can PyPI be reached?"
  cp "$wanted" "$venv/made-from"
}

# Gets servers that scrape into target/servers, unless they are installed. Their packages are only
# unpacked: if they were installed, the machine would run them as services from now on.
servers() (
  servers=$here/../target/servers
  missing=
  for program in prometheus promtool victoria-metrics; do
    [ -x "$servers/usr/bin/$program" ] || command -v "$program" >/dev/null || missing=$program
  done
  [ -n "$missing" ] || return 0
  echo "getting prometheus and victoria-metrics into target/servers"
  mkdir -p "$here/../target"
  # It is renamed once it is complete.
  work=$(mktemp -d "$servers-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  get() {
    (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download prometheus victoria-metrics)
  }
  # The lists of packages may be missing, or too old for what the servers have.
  get || { [ "$(id -u)" = 0 ] && apt-get -qq update && get; } ||
    fail "cannot download Debian's packages prometheus and victoria-metrics"
  for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$work/tree"
  done
  rm -rf "$servers"
  mv -T "$work/tree" "$servers"
)

# Gets the kernel that tests in virtual machines use, unless it is there.
kernel() {
  # Elsewhere, tests in virtual machines are skipped.
  [ "$(dpkg --print-architecture)" = amd64 ] && grep -q '^ID=debian' /etc/os-release || return 0
  "$here/kernels.sh" 6.1 || fail "cannot download a kernel for virtual machines"
}

[ $# -gt 0 ] || set -- usage
for part in "$@"; do
  case $part in
    build | test) ;;
    *) echo "usage: tests/setup.sh [build] [test]" >&2; exit 2 ;;
  esac
done
command -v cargo >/dev/null ||
  fail "Rust is not installed (cargo is not in the PATH); see https://rustup.rs"
for part in "$@"; do
  eval "wanted=\$$part"
  if ! command -v dpkg-query >/dev/null; then
    echo "note: no Debian packages here; needed are the equivalents of: $wanted" >&2
    continue
  fi
  # shellcheck disable=SC2086 # a list of words
  packages $wanted
  if [ "$part" = test ]; then
    python
    servers
    kernel
  fi
done
