#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests, by cargo-nextest where it is installed. Arguments go to it.
set -eu
if cargo nextest --version >/dev/null 2>&1; then
  exec cargo nextest run --locked --workspace --no-fail-fast --success-output never "$@"
fi
exec cargo test --locked --workspace --no-fail-fast "$@"
