# Needs Python >= 3.11, a Rust toolchain and a C linker. Everything else comes by the lock files, into .venv.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

# rustup installs here, and a shell opened before that does not have it in its PATH yet.
export PATH := $(HOME)/.cargo/bin:$(PATH)

VENV := .venv
BIN := $(VENV)/bin
CORE := python/outcrier/_core.abi3.so
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && break; done)
RUST_MINOR_MIN := $(shell sed -n 's/^rust-version = "1\.\([0-9]*\)".*/\1/p' Cargo.toml)
RUST_SOURCES := $(shell find rust_core \( -name '*.rs' -o -name Cargo.toml \) -not -path '*/tests/*' \
	-not -path '*/benches/*' 2>/dev/null)

# The peers of the benchmarks: hundreds of MB that nothing else needs.
BENCH_VENV := .venv-bench

# What a failing simulation prints beside its seed.
export OUTCRIER_REVISION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
# Seeds of `make sim`: so many, from this one on.
SEEDS ?= 100000
FIRST ?= 1

# Processes that `make test` runs Python tests in; 0 = one, for --pdb and -s. With three on two cores some tests of
# timing (tests/net, tests/test_feeder_limits.py) have been seen to fail.
WORKERS ?= 2

# What `make run`, `make test` and `make bench` hand on: make run ARGS="--help", make test ARGS="-k book".
ARGS ?=

# Seconds that `make fuzz` gives to each target.
FUZZ_SECONDS ?= 600

.PHONY: help setup run test sim mutants fuzz soak rotation soaknet bench lint format dist lock clean toolchain

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(CORE) ## Make .venv from the lock file and build the Rust core into it

run: setup ## Build, then show live books: the exchanges, else captures found through OUTCRIER_DATA
	@$(BIN)/outcrier demo $(ARGS)

test: setup ## Run the tests of Rust and Python
	cargo test --locked --quiet --workspace --exclude outcrier-py
	$(BIN)/pytest -n $(WORKERS) $(ARGS)
	$(BIN)/pytest --quiet benchmarks

fuzz: toolchain ## Damage real frames: 10^7 runs, then FUZZ_SECONDS of each target of cargo-fuzz
	OUTCRIER_FUZZ_RUNS=10000000 cargo test --locked --quiet --release -p outcrier-core --test wire_fuzz
	@command -v cargo-fuzz >/dev/null || { echo "cargo-fuzz is missing: rustup toolchain install nightly && cargo install --locked cargo-fuzz" >&2; exit 1; }
	cd rust_core/fuzz && cargo run --locked --quiet --release --bin seeds corpus
	cd rust_core/fuzz && for target in decode pack request receiver log; do \
		cargo +nightly fuzz run --fuzz-dir . $$target -- -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=10; done

soak: setup ## Run the feeder beside exchanges that misbehave for OUTCRIER_SOAK_S seconds (1800)
	OUTCRIER_SOAK_S=$${OUTCRIER_SOAK_S:-1800} OUTCRIER_SOAK_SEED=$${OUTCRIER_SOAK_SEED:-$$(date +%s)} \
		OUTCRIER_SOAK_RECORD=benchmarks/record $(BIN)/pytest -s tests/soak $(ARGS)

rotation: setup ## Change sockets again and again while one of two is cut, for OUTCRIER_ROTATION_S seconds (300)
	OUTCRIER_ROTATION_S=$${OUTCRIER_ROTATION_S:-300} OUTCRIER_SOAK_SEED=$${OUTCRIER_SOAK_SEED:-$$(date +%s)} \
		$(BIN)/pytest -s tests/test_feeder_rotation.py $(ARGS)

# Root, for network namespaces. A failing round says how to have it again.
soaknet: setup ## Run drawn networks over real sockets for OUTCRIER_SOAK_S seconds (3600)
	OUTCRIER_SOAK_S=$${OUTCRIER_SOAK_S:-3600} OUTCRIER_SOAK_SEED=$${OUTCRIER_SOAK_SEED:-$$(date +%s)} \
		$(BIN)/pytest -s tests/net/test_soak.py $(ARGS)

sim: | toolchain ## Run the simulation for long: make sim SEEDS=100000 FIRST=1
	OUTCRIER_SIM_SEEDS=$(SEEDS) OUTCRIER_SIM_FIRST=$(FIRST) \
		cargo test --release --locked --quiet -p outcrier-core --test sim seeds -- --nocapture

mutants: $(VENV)/.installed ## Show that deliberate bugs in receiver and publisher are found
	$(BIN)/python .ci/mutants.py $(ARGS)

bench: setup $(BENCH_VENV)/.installed ## Measure against the peers and floors, and write the record
	cargo bench --locked --quiet -p outcrier-core --bench core --no-run
	@# Peers warn and leave loops open, which for our own tests is an error.
	PYTHONPATH=python $(BENCH_VENV)/bin/python -m pytest benchmarks -W default --timeout 900 --benchmark-quiet \
		--record benchmarks/record $(ARGS)

# Cheap checks first.
lint: setup ## Run every check that is not a test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/codespell
	cargo fmt --all --check
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest outcrier._core
	cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --workspace --no-deps

format: $(VENV)/.installed ## Format the sources
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	cargo fmt --all

dist: $(VENV)/.installed ## Build the wheel and hold it and its environment to their size limits
	rm -rf dist
	$(BIN)/maturin build --release --locked --quiet --interpreter $(BIN)/python --out dist
	$(BIN)/python .ci/sizes.py dist

lock: ## Refresh all lock files (needs uv)
	cargo update
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml -o requirements.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --group tools -o requirements-dev.lock
	uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --group tools --group bench \
		--constraint requirements-dev.lock --override requirements.lock -o requirements-bench.lock

clean: ## Remove everything that was built
	rm -rf $(VENV) $(BENCH_VENV) target dist $(CORE) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find python tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

toolchain:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is missing: install it, or name it with make PYTHON=..." >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust with rustup (your system's package rustup, then 'rustup toolchain install stable') and run make again." >&2; exit 1; }
	@test "$$(rustc --version | cut -d. -f2)" -ge $(RUST_MINOR_MIN) || { echo "Rust 1.$(RUST_MINOR_MIN) or newer is needed, this is $$(rustc --version): run 'rustup update stable'." >&2; exit 1; }
	@command -v cc >/dev/null || { echo "cc is missing, which Rust links with: install your system's package gcc and run make again." >&2; exit 1; }

# Order-only: the tools are looked at first, and are no reason to build again.
$(VENV)/.installed: requirements-dev.lock | toolchain
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# Without their dependencies, because peers pin other versions of what we ship: all are measured with ours.
$(BENCH_VENV)/.installed: requirements-bench.lock | toolchain
	$(PYTHON) -m venv --clear $(BENCH_VENV)
	$(BENCH_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps \
		-r requirements-bench.lock
	@touch $@

# Editable: Python sources run from where they are, so that only Rust sources are a reason to build again.
$(CORE): $(VENV)/.installed $(RUST_SOURCES) Cargo.toml Cargo.lock pyproject.toml | toolchain
	PIP_QUIET=1 $(BIN)/maturin develop --release --locked --quiet
	@touch $@
