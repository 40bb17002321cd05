# The one door for people and for CI. Needs Python 3.11+ and make; everything else is fetched into .venv
# and into the user's cache (the embedded Kafka, once, verified).
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
NATIVE := $(VENV)/.accelerator
DEMO_ARGS ?=
PYTEST_ARGS ?=
# More than there are processors: many of these tests wait.
JOBS ?= 4

.DEFAULT_GOAL := help

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "syncbridge needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(NATIVE): $(STAMP) bridge/speed/build.py $(wildcard bridge/speed/*.[ch])
	$(BIN)/python -m bridge.speed
	@touch $@

venv: $(NATIVE) ## create the environment (.venv)

demo: $(NATIVE) ## everything embedded, with a live view; DEMO_ARGS="--seconds 20 --json" verifies and exits
	$(BIN)/syncbridge demo $(DEMO_ARGS)

test: check properties integration ## everything: check, more examples, then integration on the embedded Kafka

check: $(NATIVE) ## format, lint, types, unit, property, component: everything without Kafka
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -m "not kafka" -n $(JOBS) --dist loadscope $(PYTEST_ARGS)

properties: $(NATIVE) ## try many more examples of each property than check does
	$(BIN)/pytest tests/property --hypothesis-profile=thorough -n $(JOBS) $(PYTEST_ARGS)

integration: $(NATIVE) ## the tests that need the embedded Kafka
	$(BIN)/syncbridge broker --fetch-only
	$(BIN)/pytest -m kafka $(PYTEST_ARGS)

oracle: $(NATIVE) ## play every scenario at full size; ORACLE="NAME ... --small" chooses, --list tells
	$(BIN)/syncbridge broker --fetch-only
	$(BIN)/python -m tests.scenarios $(ORACLE)

mutants: $(NATIVE) ## plant each known bug in a copy and see its tests fail; MUTANTS="NAME ... --jobs N" chooses
	$(BIN)/syncbridge broker --fetch-only
	$(BIN)/python -m tests.mutants $(MUTANTS)

conformance: $(NATIVE) ## go through the vendor's checklist at real pace (5 min); writes conformance-report/
	$(BIN)/python -m tests.conformance $(CONFORMANCE_ARGS)

fuzz: $(NATIVE) ## spoilt sessions against the bridge for an hour; FUZZ_SECONDS, FUZZ_SEED choose
	$(BIN)/python -m tests.fuzz

soak: $(NATIVE) ## half an hour of load and faults; SOAK_ARGS="--minutes 30 --rate 1000", writes soak-report/
	$(BIN)/syncbridge broker --fetch-only
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

bench: $(NATIVE) ## measure speed, latency, snapshot, restart and memory; writes bench-<time>.json
	$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-compare: $(NATIVE) ## measure this tree and another commit in alternation: make bench-compare BASE=<commit>
	$(BIN)/python -m tests.bench --base $(BASE) --no-peers --no-control --parts saturated latency --modes default $(BENCH_ARGS)

format: $(STAMP) ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

schemas: $(STAMP) ## write schemas/*.avsc from the entity table
	$(BIN)/python -m tools.write_schemas

lock: $(STAMP) ## write requirements-dev.txt anew from pyproject.toml (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --extra embedded --extra uvloop --group dev pyproject.toml -o requirements-dev.txt

clean: ## remove the environment and all caches of this folder
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist bridge/speed/*.so conformance-report soak-report

.PHONY: help venv demo test check properties integration oracle mutants conformance fuzz soak bench bench-compare format schemas lock clean
