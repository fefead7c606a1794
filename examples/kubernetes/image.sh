#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds a container image with ecli, and nothing else, without a daemon and without root: an OCI
# image layout in DIRECTORY, and the same in DIRECTORY.tar.
#
#   image.sh [-c CERTIFICATES] [-n NAME:TAG] ECLI DIRECTORY
#
# -c adds a file of CA certificates. ecli needs them only for https: packages from servers and
# registries, and a collector.
#
# The same files make the same image: names are sorted, and no time, user or host is recorded.
set -eu

fail() {
  echo "image.sh: $*" >&2
  exit 1
}

usage() {
  echo "usage: image.sh [-c CERTIFICATES] [-n NAME:TAG] ECLI DIRECTORY" >&2
  exit 2
}

name=bpfpack:latest
certificates=
while getopts c:n: option; do
  case $option in
    c) certificates=$OPTARG ;;
    n) name=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# = 2 ] || usage
ecli=$1
out=$2
# A registry may have a port: the tag is what follows the last colon, if it has no slash.
tag=${name##*:}
case $tag in
  "$name" | */* | "") fail "\`$name\` has no tag: -n NAME:TAG" ;;
esac
[ -f "$ecli" ] || fail "there is no file \`$ecli\`"
[ ! -e "$out" ] || fail "\`$out\` exists"
[ ! -e "$out.tar" ] || fail "\`$out.tar\` exists"

# The machine in the header of the ELF file (elf(5), e_machine).
case $(od -An -tx1 -N4 "$ecli" | tr -d ' ')-$(od -An -tx1 -j18 -N2 "$ecli" | tr -d ' ') in
  7f454c46-3e00) architecture=amd64 ;;
  7f454c46-b700) architecture=arm64 ;;
  7f454c46-*) fail "\`$ecli\` is for a machine that image.sh does not know" ;;
  *) fail "\`$ecli\` is not a program" ;;
esac
# The image has no libraries.
if command -v readelf >/dev/null && readelf -lW "$ecli" | grep -q 'INTERP'; then
  fail "\`$ecli\` is not statically linked"
fi

umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# An archive of what is in a directory.
archive() {
  tar -C "$1" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf "$2" .
}

# The digest of a file.
digest() {
  sha256sum "$1" | cut -d' ' -f1
}

# Moves a file to the blobs of the layout, and prints its descriptor, to which more may be added: the
# last brace is missing.
blob() {
  digest=$(digest "$1")
  size=$(stat -c %s "$1")
  mv "$1" "$work/layout/blobs/sha256/$digest"
  printf '{"mediaType":"%s","digest":"sha256:%s","size":%s' "$2" "$digest" "$size"
}

mkdir -p "$work/root/etc/bpfpack" "$work/root/packages" "$work/root/proc" "$work/root/sys" \
  "$work/root/dev" "$work/layout/blobs/sha256"
install -m 755 "$ecli" "$work/root/ecli"
if [ -n "$certificates" ]; then
  # One of the places where ecli looks.
  install -D -m 644 "$certificates" "$work/root/etc/ssl/certs/ca-certificates.crt"
fi

archive "$work/root" "$work/layer"
layer=$(digest "$work/layer")
# Without -n, the time would be recorded.
gzip -n9 "$work/layer"

oci=application/vnd.oci.image
layers=$(blob "$work/layer.gz" $oci.layer.v1.tar+gzip)
# Kubernetes gives capabilities only to root; securityContext drops all others.
cat >"$work/config" <<END
{"created":"1970-01-01T00:00:00Z","architecture":"$architecture","os":"linux",
"config":{"User":"0:0","Entrypoint":["/ecli"],"Cmd":["--help"],"WorkingDir":"/",
"Labels":{"org.opencontainers.image.title":"ecli","org.opencontainers.image.licenses":"MIT"}},
"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]},
"history":[{"created":"1970-01-01T00:00:00Z","created_by":"image.sh"}]}
END
config=$(blob "$work/config" $oci.config.v1+json)
cat >"$work/manifest" <<END
{"schemaVersion":2,"mediaType":"$oci.manifest.v1+json","config":$config},"layers":[$layers}]}
END
manifest=$(blob "$work/manifest" $oci.manifest.v1+json)
# `ctr images import` takes the whole name from its own annotation.
cat >"$work/layout/index.json" <<END
{"schemaVersion":2,"mediaType":"$oci.index.v1+json","manifests":[$manifest,
"platform":{"architecture":"$architecture","os":"linux"},
"annotations":{"org.opencontainers.image.ref.name":"$tag","io.containerd.image.name":"$name"}}]}
END
echo '{"imageLayoutVersion":"1.0.0"}' >"$work/layout/oci-layout"

archive "$work/layout" "$work/layout.tar"
mv "$work/layout" "$out"
mv "$work/layout.tar" "$out.tar"
echo "$name for linux/$architecture: $out, $out.tar ($(stat -c %s "$out.tar") bytes)"
