PYTHON ?= python3
BIN := .venv/bin

.PHONY: bench study test test-all lint setup

bench: setup
	$(BIN)/sefactory bench

study: setup
	$(BIN)/sefactory study study=smoke store=outputs/smoke

# One worker per processor, each with one thread: workers with several threads would wait for each other.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses=8

# With the tests that are marked exhaustive (tests/README.md). Some of them need other libraries (the extra routes).
test-all: .venv/.routes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses=8 -m ""

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m mypy

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

.venv/.routes: .venv/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,routes]'
	touch $@
