#!/bin/bash
# SPDX-License-Identifier: MIT
# Creates the bundled vmlinux.h files in this directory from the BTF of Debian's kernels with the full
# configuration (not "cloud"), for each architecture: ARCH.h.zz has the types of the newest release,
# and ARCH-RELEASE.delta.zz the differences of an older one from them. Run it on Debian: it uses the
# mirror of the system. Nothing is installed: apt-get uses separate lists and a separate cache, and
# the packages are only unpacked. The same packages give the same files.
#
#   bpf/vmlinux/update.sh
#
# Needs: apt-get, dpkg-deb, python3, zstd, xz, cargo, debian-archive-keyring.
set -euo pipefail
# Releases of Linux, and the suites of Debian that have them, newest first. `Release` in
# bpf/src/lib.rs has the same ones.
newest=6.18:trixie-backports
older="6.12:trixie 6.1:bookworm"
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/debs"
. "$here/../../tests/apt.sh"
for release in $newest $older; do
  echo "debian ${release#*:}"
done >"$work/suites"
private_apt "$work" amd64 arm64 <"$work/suites"
apt-get -qq update

# x86: the boot header contains the position of the compressed kernel (Documentation/arch/x86/boot.rst:
# setup_sects, payload_offset, payload_length). arm64: the image is the kernel itself.
unpack_kernel() { # IMAGE OUTPUT
  python3 - "$1" "$work/payload" <<'PY'
import struct, sys
image = open(sys.argv[1], 'rb').read()
if image[0x202:0x206] == b'HdrS':
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (image[0x1f1] + 1) * 512 + offset
    image = image[start:start + length]
open(sys.argv[2], 'wb').write(image)
PY
  case $(od -An -tx1 -N4 "$work/payload" | tr -d ' \n') in
    28b52ffd) zstd -dcq "$work/payload" >"$2" 2>/dev/null || [ -s "$2" ] ;;
    fd377a58) xz -dc --single-stream "$work/payload" >"$2" 2>/dev/null || [ -s "$2" ] ;;
    1f8b*) gzip -dc "$work/payload" >"$2" 2>/dev/null || [ -s "$2" ] ;;
    *) mv "$work/payload" "$2" ;;
  esac
}

# Writes the types of the last kernel of a series, or their differences from those in HEADER.
create() { # SERIES DEBIAN_ARCH OUTPUT [HEADER]
  local series=$1 deb_arch=$2 output=$3 package
  shift 3
  package=$(apt-cache search --names-only "^linux-image-${series//./\\.}\\..*-$deb_arch(:$deb_arch)?\$" |
    cut -d' ' -f1 | grep -vE 'cloud|rt-|unsigned|dbg' | sort -V | tail -n 1)
  package=${package%:*}
  echo "$output: $package" >&2
  (cd "$work/debs" && apt-get -qq download "$package:$deb_arch")
  mkdir -p "$work/$package"
  dpkg-deb --fsys-tarfile "$work/debs/$package"_*.deb |
    tar -x -C "$work/$package" --wildcards './boot/vmlinuz-*'
  unpack_kernel "$work/$package"/boot/vmlinuz-* "$work/$package/image"
  (cd "$here" && env -u APT_CONFIG cargo run -q --locked -p bpfpack-bpf --example vmlinux-header -- \
    "$work/$package/image" "Types of Debian's $package, from its BTF." "$output" "$@")
}

# The library that prints the types includes the files: they must exist, whatever they contain.
for arch in x86 arm64; do
  touch "$here/$arch.h.zz"
  for release in $older; do touch "$here/$arch-${release%:*}.delta.zz"; done
done
for pair in amd64:x86 arm64:arm64; do
  deb_arch=${pair%:*} arch=${pair#*:}
  create "${newest%:*}" "$deb_arch" "$arch.h.zz"
  for release in $older; do
    create "${release%:*}" "$deb_arch" "$arch-${release%:*}.delta.zz" "$arch.h.zz"
  done
done
ls -l "$here"/*.zz >&2
