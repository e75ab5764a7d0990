# `make` alone lists the targets. Each does its own set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
RUST := Cargo.toml Cargo.lock $(shell find src -name '*.rs')
CARGO_FUZZ := target/tools/bin/cargo-fuzz
# For each fuzz target.
FUZZ_SECONDS ?= 300
SOAK_SECONDS ?= 600

# `cargo` may have been installed for this user only.
export PATH := $(PATH):$(HOME)/.cargo/bin

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-all soak fuzz lint format types bench wheel clean servers

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(CORE): $(VENV)/.tools $(RUST)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release --quiet
	touch $@

demo: $(CORE) ## Show it on real data, from nothing, in the terminal
	$(BIN)/python django_testproject/manage.py demo

serve: $(CORE) ## Browse the demo project
	$(BIN)/python django_testproject/manage.py migrate --verbosity 0
	$(BIN)/python django_testproject/manage.py load_cities --if-empty
	$(BIN)/python django_testproject/manage.py runserver

servers:
	@.ci/servers redis-server memcached

test: $(CORE) servers ## Run the tests of Rust and Python
	PYO3_PYTHON=$(abspath $(BIN))/python cargo test --release --no-default-features
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

test-all: $(CORE) ## Run what is slower: PostgreSQL, and the Python and Django matrix
	@.ci/servers redis-server memcached postgresql
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/slow
	CACHE_RESULT_TEST_DATABASE=postgresql $(BIN)/python -m pytest --numprocesses auto --dist loadfile tests/invalidation
	$(BIN)/python -m pip install --quiet --group matrix
	$(BIN)/maturin build --release --quiet --out dist --interpreter $(BIN)/python
	@# Interpreters are looked for on PATH, and last among those that pyenv has installed.
	PATH="$$PATH$$(printf ':%s' $(HOME)/.pyenv/versions/*/bin)" $(BIN)/tox run-parallel \
		--parallel 2 --parallel-no-spinner --installpkg "$$(ls -t dist/*.whl | head -1)"
	$(MAKE) fuzz FUZZ_SECONDS=20

soak: $(CORE) ## Look for stale reads with new seeds, again and again, for SOAK_SECONDS
	@.ci/servers redis-server postgresql
	end=$$(($$(date +%s) + $(SOAK_SECONDS))); while [ $$(date +%s) -lt $$end ]; do \
		export CACHE_RESULT_TEST_SEED=$$(date +%s) CACHE_RESULT_TEST_EXAMPLES=4; \
		$(BIN)/python -m pytest -o timeout=900 tests/slow/test_audit.py tests/slow/test_histories.py && \
		$(BIN)/python -m pytest -o timeout=900 tests/property/test_histories.py || exit; \
	done

$(CARGO_FUZZ):
	cargo install cargo-fuzz --version 0.13.2 --locked --quiet --root target/tools

# Needs a C++ compiler. A sanitizer would need nightly Rust, and what is fuzzed has no `unsafe`. Unless
# told not to ignore it, several processes go on after an input that hangs.
fuzz: $(VENV)/.tools $(CARGO_FUZZ) ## Fuzz what reads and writes keys, FUZZ_SECONDS for each target
	for target in read round_trip; do \
		PYO3_PYTHON=$(abspath $(BIN))/python $(CARGO_FUZZ) run --sanitizer none --no-trace-compares \
			--target-dir target/fuzz --jobs $$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN) $$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=5 -ignore_timeouts=0 -ignore_ooms=0 || exit; \
	done

lint: $(CORE) ## Check style: ruff, rustfmt, clippy (pedantic)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cargo fmt --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	PYO3_PYTHON=$(abspath $(BIN))/python cargo clippy --all-targets --release -- -D warnings

format: $(VENV)/.tools ## Format Python and Rust
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	cargo fmt

types: $(CORE) ## Check types: mypy (strict), pyright, stubtest
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/python -m mypy.stubtest cache_result._core --mypy-config-file pyproject.toml

bench: $(CORE) servers ## Compare with the peers and write benchmarks/results.md
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks

wheel: $(CORE) ## Build the wheel into dist/
	$(BIN)/maturin build --release --out dist

clean: ## Remove everything that was built
	rm -rf $(VENV) target dist .tox python/cache_result/*.so
