#!/bin/sh
# SPDX-License-Identifier: MIT
# The compiler of this workspace's crates in build.sh, which cargo calls with the command to run. It
# adds what cargo-fuzz adds, without a sanitizer: coverage of branches and comparisons. It optimizes;
# what is generic in a dependency is compiled here, too.
case " $* " in
  *" --crate-name build_script_"*) exec "$@" ;; # runs at home, without libFuzzer
esac
for arg; do
  shift
  # libFuzzer finds its hooks by the dynamic linker.
  [ "$arg" = -Ctarget-feature=+crt-static ] || set -- "$@" "$arg"
done
exec "$@" --cfg fuzzing -Copt-level=1 -Ccodegen-units=1 -Cpasses=sancov-module \
  -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
