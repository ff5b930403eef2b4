# What one does with a checkout. Every target first sets up what it needs; `make help` lists them.

BIN := .venv/bin
# Tests wait for other processes half of their time.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n < 8 ? 2 * n : 16)))

# Images of containers like to set it; then each of the thousands of processes that tests start compiles again
# what has changed since the installation, and each worker all tests.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test faults check lint types contracts format bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile
	@echo '  PYTHON=/path/to/python chooses the Python, WORKERS=8 the parallel tests, ARGS="-k close" what pytest is told.'

setup: ## install Python packages into .venv, and git and tmux where they are missing
	@scripts/ensure-venv

demo: setup ## show a whole run, with two repositories and two agents, in a scratch folder
	$(BIN)/metawsm demo

test: setup ## run all tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal $(ARGS)

faults: setup ## kill the process at every point between two side effects of a run, also at those that `make test` leaves out
	CRASH_POINTS=all $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests/faults $(ARGS)

check: lint types contracts test ## run everything that continuous integration runs

lint: setup ## look for mistakes and for formatting that differs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## check the types
	$(BIN)/mypy

contracts: setup ## check that imports between layers only point down
	$(BIN)/lint-imports

format: setup ## mend formatting, and mistakes that have one obvious remedy
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup ## measure the engine, the store and the command line against their floors
	$(BIN)/python -m compileall -q metawsm_rpc
	$(BIN)/python benchmarks/run.py

docs: setup ## write the generated documents anew
	$(BIN)/python -m metawsm_rpc.generate

clean: ## remove everything that make has made
	rm -rf .venv build dist .coverage .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
