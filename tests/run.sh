#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests, by cargo-nextest where it is installed. Arguments go to it.
set -eu
# Tracepoints are in tracefs. Where it is not mounted, it is for the tests alone, in a mount
# namespace of their own: the machine stays as it was.
if [ "$(id -u)" = 0 ] && [ ! -d /sys/kernel/tracing/events ] && [ -z "${BPFPACK_TRACEFS:-}" ]; then
  export BPFPACK_TRACEFS=tried
  # shellcheck disable=SC2016 # the inner shell expands these
  exec unshare -m sh -c 'mount -t tracefs tracefs /sys/kernel/tracing || true; exec "$0" "$@"' \
    "$0" "$@"
fi
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --locked --workspace --no-fail-fast --success-output never "$@"
fi
exec cargo test --locked --workspace --no-fail-fast "$@"
