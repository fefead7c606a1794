# SPDX-License-Identifier: MIT
#   make demo      install what is missing, build, and trace this machine's interrupts for 5 s
#   make test      install what is missing, build, and pass all tests
#   make build     ecc and ecli, in target/HOST/release
#   make small     ecli without its optional features, below 3.5 MB, in target/HOST/small
#   make install   put them into PREFIX/bin (/usr/local unless given), and headers for modules into
#                  PREFIX/include/bpfpack
#   make integration   metrics in real servers: tests that take minutes, and what a fleet costs
#   make vmtest    every kind of program on several kernels, in virtual machines: runner/KERNELS.md
#   make fuzz      run the fuzz targets for a minute each (SECONDS=…)
#   make attack    attack both programs, each way for a minute (SECONDS=… SEED=… PARTS=…)
#   make bench     benchmarks, beside clang, bare libbpf and the tools in C (PARTS=…)
#   make fmt lint clean

PREFIX ?= /usr/local
CARGO ?= cargo
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
BIN := $(CURDIR)/target/$(HOST)/release
# American spelling. tests/words.txt has the words that are right all the same, one per line.
SPELL := git ls-files -z '*.md' '*.rs' '*.c' '*.h' | \
	xargs -0r codespell --builtin clear,rare,en-GB_to_en-US --ignore-words tests/words.txt
CLIPPY := RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/tests/clippy.sh

.PHONY: all deps test-deps build small demo test test-build integration vmtest fuzz attack bench install fmt lint lint-others clean

all: build

deps:
	@tests/setup.sh build

test-deps:
	@tests/setup.sh build test

build: deps
	$(CARGO) build --release --locked -p bpfpack-packer -p bpfpack-runner

small: deps
	$(CARGO) build --profile small --locked -p bpfpack-runner --no-default-features
	@ls -l target/$(HOST)/small/ecli

demo: build
	@examples/demo.sh $(BIN)

# ecli is optimized as a whole by one core, for minutes: the others build the tests meanwhile.
test: test-deps
	@$(MAKE) --no-print-directory -j2 build test-build
	@BPFPACK_BIN_DIR=$(BIN) tests/fuzz/run.sh 5
	BPFPACK_BIN_DIR=$(BIN) $(CLIPPY) tests/run.sh

# The same lints as `make lint`, but what it checks is compiled.
test-build: test-deps lint-others
	$(CLIPPY) $(CARGO) test --no-run --locked --workspace
	@tests/fuzz/build.sh

# One at a time, because they print measurements.
integration: test-deps
	@$(MAKE) --no-print-directory -j2 build test-build
	BPFPACK_BIN_DIR=$(BIN) $(CLIPPY) $(CARGO) test --locked -p bpfpack-tests \
	--test integration --test fleet -- --include-ignored --nocapture --test-threads 1

# One machine at a time: an emulated processor keeps a core busy. A kernel that cannot be downloaded is
# reported, and the others are tested.
vmtest: test-deps
	@tests/kernels.sh || true
	@$(MAKE) --no-print-directory -j2 build test-build
	BPFPACK_BIN_DIR=$(BIN) $(CLIPPY) $(CARGO) test --locked -p bpfpack-tests \
	--test vm --test matrix -- --include-ignored --nocapture --test-threads 1

fuzz: test-deps build
	@BPFPACK_BIN_DIR=$(BIN) tests/fuzz/run.sh $(or $(SECONDS),60)

attack: test-deps
	$(CARGO) build --release --locked --workspace
	BPFPACK_BIN_DIR=$(BIN) $(BIN)/attack --seconds $(or $(SECONDS),60) --seed $(or $(SEED),1) $(PARTS)

bench: test-deps
	$(CARGO) build --release --locked --workspace
	BPFPACK_BIN_DIR=$(BIN) $(BIN)/bench $(PARTS)

install: build
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/ecc $(BIN)/ecli $(DESTDIR)$(PREFIX)/bin
	install -d $(DESTDIR)$(PREFIX)/include/bpfpack
	install -m 644 runner/sdk/c/*.h $(DESTDIR)$(PREFIX)/include/bpfpack

fmt:
	$(CARGO) fmt --all

lint: lint-others
	@if $(CARGO) clippy --version >/dev/null 2>&1; then \
	$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings; fi

lint-others:
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; \
	else echo "skipped: cargo fmt is not installed"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then \
	$(CARGO) clippy --quiet --locked -p bpfpack-runner --no-default-features -- -D warnings; \
	else echo "skipped: cargo clippy is not installed"; fi
	@if command -v codespell >/dev/null; then $(SPELL); \
	else echo "skipped: codespell is not installed"; fi

clean:
	$(CARGO) clean
