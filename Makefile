# Antiphon's commands. `make` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MEDIA := services/media-plane
NATIVE := services/antiphon/edge/_media.abi3.so
CALLERS := services/antiphon/callers/_callers.abi3.so
PROTOS := $(shell cd proto/antiphon && find . -name '*.proto' | sort | sed 's,^\./,,')
RUST_SOURCES := $(shell find $(MEDIA)/crates proto -name '*.rs' -o -name 'Cargo.toml' -o -name '*.proto') $(MEDIA)/Cargo.toml
PYTEST_WORKERS ?= 3
CHECKED := --manifest-path $(MEDIA)/Cargo.toml --release --config $(MEDIA)/checked.toml

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

$(VENV)/.ready: requirements/dev.txt | tools
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements/dev.txt
	@touch $@

$(VENV)/tools/.ready: requirements/tools.txt | tools
	@test -x $(VENV)/tools/bin/python || $(PYTHON) -m venv $(VENV)/tools
	@$(VENV)/tools/bin/python -m pip install --quiet --require-hashes --requirement requirements/tools.txt
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
	@cargo test --quiet $(CHECKED) --workspace --exclude antiphon-python --exclude antiphon-caller-python

.PHONY: test-python
test-python: build
	@cargo build --quiet --release --manifest-path $(MEDIA)/Cargo.toml --package antiphon-impairer
	@$(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) --dist loadscope $(ARGS)

.PHONY: test-long
test-long: build callers ## the tests that want native callers or a machine for themselves (marked verify)
	@$(BIN)/python -m pytest -m verify $(ARGS)

.PHONY: test-js
test-js:
	@if command -v npm >/dev/null; then cd services/antiphon-js && npm ci --silent --no-audit --no-fund && npm test --silent; \
	  else echo "npm is missing: the browser SDK's tests are left out (install Node.js 20 or later to run them)"; fi

.PHONY: lint
lint: build ## formatting, lint and types of Python, Rust and the protos
	@$(BIN)/ruff check --quiet . && $(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@cargo fmt --manifest-path $(MEDIA)/Cargo.toml --all --check
	@cargo clippy --quiet $(CHECKED) --workspace --all-targets -- -D warnings
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

$(CALLERS): $(VENV)/.ready $(RUST_SOURCES)
	@echo "building the native callers"
	@PYO3_BUILD_EXTENSION_MODULE=1 cargo build --quiet --release --manifest-path $(MEDIA)/Cargo.toml --package antiphon-caller-python
	@cp $${CARGO_TARGET_DIR:-$(MEDIA)/target}/release/lib_callers.so $@.new && mv $@.new $@ # one may be loaded

.PHONY: callers
callers: $(CALLERS) ## build the native callers that load tests and antiphon calibrate need; wheels do not carry them

.PHONY: load
load: build callers ## callers by locust on a cluster of this machine, and a report; ARGS="--users 1000 --seconds 300"
	@$(BIN)/python -m loadtest.load $(ARGS)

.PHONY: bench-hold
bench-hold: build ## measure: how soon playout is held when a caller speaks, and how often for nothing
	@$(BIN)/python -m loadtest.hold $(ARGS)

.PHONY: bench-turns
bench-turns: build ## measure, offline: how often turns are cut off against how soon they are answered; ANTIPHON_AUDIO names recordings
	@$(BIN)/python -m loadtest.turns $(ARGS)

.PHONY: bench-interruptions
bench-interruptions: build callers ## measure: sounds over an agent's speech, what holds, what interrupts, what lets it go on
	@$(BIN)/python -m loadtest.interruptions $(ARGS)

.PHONY: bench-browser
bench-browser: build ## measure: a word through Chromium and an echo agent and back, recorded on both sides in the page
	@$(BIN)/python -m loadtest.browser $(ARGS)

.PHONY: bench-answers
bench-answers: build ## measure: how long callers wait for the offline assistant, stage by stage
	@$(BIN)/python -m loadtest.answers $(ARGS)

.PHONY: bench-ears
bench-ears: build ## measure: how many sessions one core listens to, and how late it judges; ANTIPHON_AUDIO names recordings
	@$(BIN)/python -m loadtest.ears $(ARGS)

.PHONY: bench-chaos
bench-chaos: build ## parts of a real cluster die, drain and restart under live calls: what is lost, into docs/failure.md
	@$(BIN)/python -m loadtest.chaos $(ARGS)

.PHONY: bench-planet
bench-planet: build ## simulate a day of a million callers, measure placements through one Valkey; writes docs/placement.md
	@$(BIN)/python -m loadtest.planet $(ARGS)

.PHONY: proto
proto: $(VENV)/.ready ## generate services/antiphon/wire from proto/
	@rm -rf services/antiphon/wire && mkdir -p services/antiphon/wire
	@$(BIN)/python -m grpc_tools.protoc --proto_path=antiphon/wire=proto/antiphon \
	  --python_out=services --pyi_out=services --grpc_python_out=services \
	  $(addprefix antiphon/wire/,$(PROTOS))
	@find services/antiphon/wire -type d -exec sh -c 'echo "\"\"\"Generated from proto/ by make proto.\"\"\"" > "$$1/__init__.py"' _ {} \;

.PHONY: breaking
breaking: ## whether protos broke what spoke the last release's (else main's) version; AGAINST=COMMIT for another
	@command -v npx >/dev/null || { echo "npx is missing: install Node.js 20 or later" >&2; exit 2; }
	@against=$${AGAINST:-$$(git describe --tags --abbrev=0 --match 'v[0-9]*' 2>/dev/null || echo main)}; \
	  npx --yes --quiet @bufbuild/buf breaking proto --against "$$(git rev-parse --git-common-dir)#ref=$$against,subdir=proto" && \
	  echo "compatible with $$against"

.PHONY: metrics-table
metrics-table: build ## write docs/metrics.md, and the media plane's help texts, from the code
	@$(BIN)/python -m tools.metrics_table

.PHONY: api-reference
api-reference: build ## write docs/api.md from the API's OpenAPI document
	@$(BIN)/python -m tools.api_reference

.PHONY: docs
docs: $(VENV)/tools/.ready ## make a site of docs/ in build/docs; ARGS=serve shows it while it is written
	@NO_MKDOCS_2_WARNING=1 $(VENV)/tools/bin/mkdocs --quiet $(or $(ARGS),build)

.PHONY: lock
lock: $(VENV)/tools/.ready ## lock what pyproject.toml and images ask for, with hashes; ARGS=--upgrade takes the newest
	@PATH="$(abspath $(VENV)/tools/bin):$$PATH" $(VENV)/tools/bin/python tools/lock.py $(ARGS)

.PHONY: licences
licences: build ## write docs/licences.md: what comes with the images and the wheel, and under which licence
	@$(BIN)/python -m tools.licences

.PHONY: audit
audit: $(VENV)/tools/.ready ## known faults of locked Python packages and crates, crates' licences and sources
	@command -v cargo-deny >/dev/null || { echo "cargo-deny is missing: cargo install --locked cargo-deny" >&2; exit 2; }
	@cd $(MEDIA) && cargo deny --log-level error check --hide-inclusion-graph
	@for lock in requirements/*.txt deploy/docker/requirements/*.txt; do echo "$$lock"; \
	  $(VENV)/tools/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off --requirement $$lock || exit 1; done

.PHONY: wheels
wheels: $(VENV)/tools/.ready ## build wheels into dist/ and place a call with one in a fresh environment; ARGS="--target ..."
	@$(VENV)/tools/bin/python tools/wheels.py $(ARGS)

.PHONY: verify
verify: build $(VENV)/tools/.ready ## what CI has no time or tools for, into docs/verify.md; ARGS=--list, --quick or steps' names
	@cargo build --quiet --release --manifest-path $(MEDIA)/Cargo.toml --package antiphon-impairer
	@$(BIN)/python -m tools.verify $(ARGS)

.PHONY: api-check
api-check: build $(VENV)/tools/.ready ## send a live cluster whatever its OpenAPI document allows and forbids
	@$(BIN)/python -m tools.verify.api $(ARGS)

.PHONY: alerts-check
alerts-check: build ## inject faults into a cluster and wait for Prometheus to fire the alert of each
	@$(BIN)/python -m tools.verify.alerts

.PHONY: images
images: ## build the three roles' images as antiphon/ROLE:0.1.0 (Docker, else buildah); ARGS="--build-arg PYTHON_IMAGE=...@sha256:..."
	@build="docker build"; docker info >/dev/null 2>&1 || build="buildah build --layers --isolation chroot"; \
	for role in signaling edge worker; do \
	  $$build --quiet --file deploy/docker/Dockerfile --target $$role --tag antiphon/$$role:0.1.0 \
	    --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) $(ARGS) . || exit 1; done

.PHONY: dashboards
dashboards: $(VENV)/.ready ## write Grafana's dashboards, from deploy/grafana, into the chart
	@$(BIN)/python -m deploy.grafana.generate

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf $(VENV) $(MEDIA)/target $(MEDIA)/fuzz/target $(NATIVE) $(CALLERS) dist build bench-results
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
