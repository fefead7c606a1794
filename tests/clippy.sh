#!/bin/sh
# SPDX-License-Identifier: MIT
# The compiler of this workspace's crates in `make test`, which cargo calls with the command to run:
# clippy, if it is installed, whose warnings are errors. It compiles what it checks; `cargo clippy`
# would have to read all dependencies once more.
if clippy-driver --version >/dev/null 2>&1; then
  set -- clippy-driver "$@" -D warnings
fi
exec "$@"
