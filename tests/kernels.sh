#!/bin/sh
# SPDX-License-Identifier: MIT
# Gets kernels for virtual machines into the user's cache: those of Debian's images for clouds, which
# are small and have the drivers of virtual machines. One that is there stays as it is.
#
#   tests/kernels.sh [SERIES…]       by default, all of the list below
#
# The newest package of a series is unpacked to CACHE/kernels/SERIES, and never installed. apt-get uses
# separate lists and a separate cache: the system's stay as they are. A kernel that cannot be downloaded is
# reported, and the others are fetched; then the exit code is 1.
#
# Needs: apt-get, dpkg-deb, debian-archive-keyring.
set -eu
. "$(dirname "$0")/apt.sh"
# Each series, and the suite that has it.
list="5.10 bullseye-security
6.1 bookworm-security
6.12 bookworm-security
6.18 trixie-backports
7.3 trixie-backports"

kernels=${XDG_CACHE_HOME:-${HOME:?}/.cache}/bpfpack/kernels
# ecc and ecli use a cache only if nobody else can write to it.
umask 077
mkdir -p "$kernels"
# shellcheck disable=SC2046 # a list of words
[ $# -gt 0 ] || set -- $(echo "$list" | cut -d ' ' -f 1)

# Whether a tree has a kernel, in one of the places where packages have it.
has_kernel() {
  find "$1/boot" "$1/usr/lib/modules" -maxdepth 2 -name 'vmlinuz*' 2>/dev/null | grep -q .
}

# Whether a kernel is there, and the list of its packages, which the matrix names.
is_complete() {
  [ -e "$kernels/$1/packages" ] && has_kernel "$kernels/$1"
}

suite_of() {
  echo "$list" | sed -n "s/^$1 //p"
}

# Prepares apt-get for the suites of these series, and gets their lists of packages.
prepare() {
  for series in "$@"; do
    suite=$(suite_of "$series")
    case $suite in
      *-security) echo "debian-security $suite" ;;
      ?*) echo "debian $suite" ;;
    esac
  done >"$work/suites"
  private_apt "$work" amd64 <"$work/suites"
  # A suite that cannot be downloaded is no reason to do without the others.
  apt-get -qq update || true
}

# The newest package of a series whose name begins like this.
newest() {
  apt-cache search --names-only "^$1-$2\\.[0-9].*-cloud-amd64\$" 2>/dev/null | cut -d ' ' -f 1 |
    grep -vE -e '-(unsigned|dbg)' | sort -V | tail -n 1
}

# Unpacks the newest kernel of a series.
get() {
  tree=$work/$1
  mkdir -p "$tree.debs" "$tree"
  # Newer kernels are split; linux-image then depends on the parts.
  packages=$(newest linux-binary "$1")
  if [ -n "$packages" ]; then
    packages="$packages linux-modules-${packages#linux-binary-}"
  else
    packages=$(newest linux-image "$1")
  fi
  [ -n "$packages" ] || return 1
  echo "getting $packages for virtual machines"
  # shellcheck disable=SC2086 # a list of words
  (cd "$tree.debs" && apt-get -qq download $packages) || return 1
  for package in "$tree.debs"/*.deb; do
    dpkg-deb -x "$package" "$tree" || return 1
  done
  # The version says more than the name of the package.
  for package in "$tree.debs"/*.deb; do
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$package"
  done >"$tree/packages"
  has_kernel "$tree" || return 1
  chmod 755 "$tree"
  # It is renamed once it is complete.
  rm -rf "$kernels/$1"
  mv -T "$tree" "$kernels/$1"
}

missing=
for series in "$@"; do
  is_complete "$series" || missing="$missing $series"
done
[ -n "$missing" ] || exit 0
# In the same directory, so that a kernel can be renamed.
work=$(mktemp -d "$kernels/new-XXXXXX")
trap 'rm -rf "$work"' EXIT
# shellcheck disable=SC2086 # a list of words
prepare $missing
code=0
for series in $missing; do
  if ! get "$series"; then
    suite=$(suite_of "$series")
    echo "cannot get a kernel of series $series (${suite:-unknown here})" >&2
    code=1
  fi
done
exit $code
