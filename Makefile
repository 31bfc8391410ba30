# A fresh machine needs Python 3.11 or later and this file: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests; 0 for this one alone, which a debugger can follow.
JOBS ?= 2

.PHONY: venv demo test slow check bench peers docs screenshots clean

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
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not slow"

# Kills by the hundred, processes against each other, weights: what takes longer than a person waits. CI runs both.
slow: venv
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m slow

check: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m agentmem_apps.cli.reference --check
	$(BIN)/python -m agentmem_tui.reference --check

# Results land in benchmarks/results; LOCOMO and BEAM are paths to the data, which is not part of the project.
ENGINES := --engine bm25 --engine dense --engine rrf --engine zsum --engine training-free
bench: venv
	$(BIN)/python -m benchmarks.startup --json benchmarks/results/startup.json
	$(BIN)/python -m benchmarks.floor --json benchmarks/results/floor.json
	$(BIN)/python -m benchmarks.kill --n 1000 --json benchmarks/results/kill.json
	$(BIN)/python -m benchmarks.chat --json benchmarks/results/chat.json
	$(BIN)/python -m benchmarks.local --json benchmarks/results/local.json
	$(BIN)/python -m benchmarks.tui --json benchmarks/results/tui.json
	$(BIN)/python -m benchmarks.scale --json benchmarks/results/scale.json --plot benchmarks/results/scale.png
ifdef LOCOMO
	$(BIN)/python -m benchmarks.train_ranker --locomo $(LOCOMO) --beam $(BEAM) --ablate --write \
	  --json benchmarks/results/train_ranker.json
	$(BIN)/python -m benchmarks.tried --locomo $(LOCOMO) --beam $(BEAM) --json benchmarks/results/tried.json
	$(BIN)/python -m benchmarks.latency --json benchmarks/results/latency.json
	$(BIN)/python -m benchmarks.packs --locomo $(LOCOMO) --beam $(BEAM) --json benchmarks/results/packs.json
	$(BIN)/python -m benchmarks.assistant --beam $(BEAM) --json benchmarks/results/assistant.json
	$(BIN)/agentmem --json eval locomo $(LOCOMO) --embedder minilm $(ENGINES) \
	  --plot benchmarks/results/locomo-engines.png > benchmarks/results/locomo-engines.json
	$(BIN)/agentmem --json eval beam $(BEAM) --embedder minilm $(ENGINES) \
	  --plot benchmarks/results/beam-engines.png > benchmarks/results/beam-engines.json
endif

# Side by side with other memories, in an environment of its own: they are no part of the project. Needs LOCOMO and BEAM.
PEERS := .venv-peers
$(PEERS)/.installed: pyproject.toml benchmarks/peers/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(PEERS)/bin/python -m pip install --quiet --editable '.[local]' -r benchmarks/peers/requirements.txt
	touch $@

peers: $(PEERS)/.installed
	for turns in 5000 20000; do \
	  $(PEERS)/bin/python -m benchmarks.peers --locomo $(LOCOMO) --beam $(BEAM) --turns $$turns --cache $(PEERS)/vectors \
	    --json benchmarks/results/peers-$$turns.json --plot benchmarks/results/peers-$$turns.png || exit 1; \
	done

docs: venv
	$(BIN)/python -m agentmem_apps.cli.reference
	$(BIN)/python -m agentmem_tui.reference

# Wants rsvg-convert (Debian: librsvg2-bin).
screenshots: venv
	$(BIN)/python -m benchmarks.screenshots docs/img

clean:
	rm -rf $(VENV) $(PEERS) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
