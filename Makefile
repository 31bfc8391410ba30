# A fresh machine needs Python 3.11 or later and this file: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: venv demo test check bench docs clean

venv: $(VENV)/.installed

# torch first, with plain pip, pinned: asked for as somebody's dependency it brings gigabytes of CUDA packages.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable '.[all]' --group dev
	touch $@

demo: venv
	@$(BIN)/agentmem demo

test: venv
	$(BIN)/python -m pytest -q

check: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m agentmem_apps.cli.reference --check

# Results land in benchmarks/results; LOCOMO and BEAM are paths to the data, which is not part of the project.
bench: venv
	$(BIN)/python -m benchmarks.startup --json benchmarks/results/startup.json
	$(BIN)/python -m benchmarks.floor --json benchmarks/results/floor.json
	$(BIN)/python -m benchmarks.kill --json benchmarks/results/kill.json
ifdef LOCOMO
	$(BIN)/agentmem --json eval locomo $(LOCOMO) --embedder hash > benchmarks/results/locomo-hash.json
	$(BIN)/agentmem --json eval locomo $(LOCOMO) --embedder minilm > benchmarks/results/locomo-minilm.json
endif
ifdef BEAM
	$(BIN)/agentmem --json eval beam $(BEAM) --embedder hash > benchmarks/results/beam-hash.json
	$(BIN)/agentmem --json eval beam $(BEAM) --embedder minilm > benchmarks/results/beam-minilm.json
endif

docs: venv
	$(BIN)/python -m agentmem_apps.cli.reference

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
