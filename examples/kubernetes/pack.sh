#!/bin/sh
# SPDX-License-Identifier: MIT
# Writes a ConfigMap with packages to standard output. The pods of bpfpack.yaml find each package as
# /packages/NAME.json.gz.
#
#   pack.sh [-m CONFIGMAP] [-s NAMESPACE] NAME=FILE …
#
#   pack.sh hardirqs=hardirqs/package.json softirqs=softirqs/package.json | kubectl apply \
#     --server-side -f -
#
# Without --server-side, kubectl would keep a second copy in an annotation, which must not exceed
# 256 KiB.
set -eu

fail() {
  echo "pack.sh: $*" >&2
  exit 1
}

usage() {
  echo "usage: pack.sh [-m CONFIGMAP] [-s NAMESPACE] NAME=FILE …" >&2
  exit 2
}

configmap=bpfpack-packages
namespace=bpfpack
while getopts m:s: option; do
  case $option in
    m) configmap=$OPTARG ;;
    s) namespace=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || usage

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
total=0
for argument in "$@"; do
  name=${argument%%=*}
  file=${argument#*=}
  case $name in
    "$argument" | "" | *[!A-Za-z0-9._-]*) fail "\`$argument\` is not NAME=FILE" ;;
  esac
  [ -f "$file" ] || fail "there is no file \`$file\`"
  [ ! -e "$work/$name" ] || fail "there are two packages \`$name\`"
  # ecli runs compressed packages. The same package gives the same text.
  gzip -n9 <"$file" >"$work/$name"
  total=$((total + $(stat -c %s "$work/$name")))
done
# What the server accepts, before it is encoded by base64.
[ "$total" -le 1048576 ] ||
  fail "the packages have $total bytes, and a ConfigMap at most 1048576: make several (-m)"

cat <<END
apiVersion: v1
kind: ConfigMap
metadata:
  name: $configmap
  namespace: $namespace
binaryData:
END
for argument in "$@"; do
  name=${argument%%=*}
  printf '  %s.json.gz: ' "$name"
  base64 -w0 "$work/$name"
  echo
done
