# Antiphon's commands. `make` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEDIA := services/media-plane
NATIVE := services/antiphon/edge/_media.abi3.so
PROTOS := $(shell cd proto/antiphon && find . -name '*.proto' | sort | sed 's,^\./,,')
RUST_SOURCES := $(shell find $(MEDIA)/crates proto -name '*.rs' -o -name 'Cargo.toml' -o -name '*.proto') $(MEDIA)/Cargo.toml
PYTEST_WORKERS ?= 2

.PHONY: help
help: ## print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: build ## start a two-region cluster on this machine: http://127.0.0.1:8080
	@$(BIN)/antiphon up $(ARGS)

.PHONY: build
build: $(NATIVE) $(VENV)/.models ## virtual environment, native module and models, as far as they are out of date

.PHONY: tools
tools:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or later is needed: install python3 (3.11+), or say which one with make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv is missing: install it (Debian, Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
	@command -v cargo >/dev/null || \
	  { echo "cargo is missing: install a Rust toolchain, 1.89 or later, from https://rustup.rs" >&2; exit 2; }
	@command -v cc >/dev/null || \
	  { echo "a C compiler is missing: install one (Debian, Ubuntu: apt-get install build-essential)" >&2; exit 2; }

$(VENV)/.ready: pyproject.toml | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python tools/dependencies.py | xargs -d '\n' $(BIN)/python -m pip install --quiet
	@touch $@

$(NATIVE): $(VENV)/.ready $(RUST_SOURCES)
	@echo "building the media plane (the first time takes a few minutes)"
	@source $(BIN)/activate && maturin develop --release > $(VENV)/build.log 2>&1 || { cat $(VENV)/build.log >&2; exit 1; }
	@touch $@

$(VENV)/.models: services/antiphon/turns/models.py $(NATIVE)
	@$(BIN)/antiphon models > $@.log && touch $@ || echo "without it turns end by silence alone: later, antiphon models" >&2

.PHONY: test
test: build lint test-rust test-python test-js ## build, lint, check types and run all tests

.PHONY: test-rust
test-rust:
	@cargo test --quiet --manifest-path $(MEDIA)/Cargo.toml --workspace --exclude antiphon-python

.PHONY: test-python
test-python: build
	@cargo build --quiet --release --manifest-path $(MEDIA)/Cargo.toml --package antiphon-impairer
	@$(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) $(ARGS)

.PHONY: test-js
test-js:
	@if command -v npm >/dev/null; then cd services/antiphon-js && npm ci --silent --no-audit --no-fund && npm test --silent; \
	  else echo "npm is missing: the browser SDK's tests are left out (install Node.js 20 or later to run them)"; fi

.PHONY: lint
lint: build ## formatting, lint and types of Python, Rust and the protos
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@cargo fmt --manifest-path $(MEDIA)/Cargo.toml --all --check
	@cargo clippy --quiet --manifest-path $(MEDIA)/Cargo.toml --workspace --all-targets -- -D warnings
	@if command -v npx >/dev/null; then npx --yes --quiet @bufbuild/buf lint proto; \
	  else echo "npx is missing: buf lint is left out (install Node.js 20 or later to run it)"; fi

.PHONY: format
format: build ## format Python and Rust in place
	@$(BIN)/ruff check --quiet --fix . ; $(BIN)/ruff format --quiet .
	@cargo fmt --manifest-path $(MEDIA)/Cargo.toml --all

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZ_SECONDS (20) or FUZZ_RUNS times, on the stable toolchain
	@$(MEDIA)/fuzz/run

.PHONY: bench
bench: build ## measure: floor, engine, whole path, peers; ARGS=--quick for a minute's worth
	@$(BIN)/python -m loadtest.bench $(ARGS)

.PHONY: figures
figures: build ## write what make bench, soak and fuzz found last into README.md and docs/figures.md, with the machine's name
	@$(BIN)/python -m loadtest.figures $(ARGS)

.PHONY: soak
soak: build ## half an hour of 300 calls of random life: what leaks shows; ARGS="--minutes 2" for less
	@$(BIN)/python -m loadtest.soak $(ARGS)

.PHONY: interop
interop: build ## call with real peers on a bad network (root, for namespaces) and write docs/interop.md; ARGS=firefox for one
	@$(BIN)/python -m tests.interop $(ARGS)

.PHONY: plots
plots: $(VENV)/.ready ## the docs' tables and plots of loss, in virtual time; ARGS=loss-up for one
	@$(BIN)/python -m loadtest.plots $(ARGS)

.PHONY: bench-hold
bench-hold: build ## measure: how soon playout is held when a caller speaks, and how often for nothing
	@$(BIN)/python -m loadtest.hold $(ARGS)

.PHONY: bench-turns
bench-turns: build ## measure, offline: how often turns are cut off against how soon they are answered; ANTIPHON_AUDIO names recordings
	@$(BIN)/python -m loadtest.turns $(ARGS)

.PHONY: bench-answers
bench-answers: build ## measure: how long callers wait for the offline assistant, stage by stage
	@$(BIN)/python -m loadtest.answers $(ARGS)

.PHONY: bench-ears
bench-ears: build ## measure: how many sessions one core listens to, and how late it judges; ANTIPHON_AUDIO names recordings
	@$(BIN)/python -m loadtest.ears $(ARGS)

.PHONY: proto
proto: $(VENV)/.ready ## generate services/antiphon/wire from proto/
	@rm -rf services/antiphon/wire && mkdir -p services/antiphon/wire
	@$(BIN)/python -m grpc_tools.protoc --proto_path=antiphon/wire=proto/antiphon \
	  --python_out=services --pyi_out=services --grpc_python_out=services \
	  $(addprefix antiphon/wire/,$(PROTOS))
	@find services/antiphon/wire -type d -exec sh -c 'echo "\"\"\"Generated from proto/ by make proto.\"\"\"" > "$$1/__init__.py"' _ {} \;

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf $(VENV) $(MEDIA)/target $(MEDIA)/fuzz/target $(NATIVE) dist bench-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
