#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the fuzz targets, in the profile of the tests and with all that decides how dependencies are
# built: the tests have them already. Only this workspace's crates are instrumented, by rustc.sh.
set -eu
cd "$(dirname "$0")/../.."
for target in tests/fuzz/fuzz_targets/*.rs; do
  set -- "$@" --bin "$(basename "$target" .rs)"
done
RUSTC_WORKSPACE_WRAPPER=$PWD/tests/fuzz/rustc.sh exec cargo build --locked --workspace \
  --features bpfpack-fuzz/targets,bpfpack-fuzz/as-tests "$@"
