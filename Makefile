# Two commands: `make demo` and `make test`. Both make .venv on a machine that has only Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: demo test lint bench bench-gpu bench-models bench-serving bench-databases study kills clean

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "vectorplug needs Python 3.11 or newer, found $$($(PYTHON) --version). Set PYTHON=..."; exit 1; }
	test -x $(RUN)/python || $(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade pip
	@echo "Installing vectorplug and its dependencies into $(VENV) (torch is large: some minutes the first time)"
	$(RUN)/python -m pip install --quiet --editable '.[dev,demo]'
	touch $@

demo: $(VENV)/installed
	$(RUN)/vectorplug demo

# A thread each: two processes that share two cores would wait for each other's.
test: $(VENV)/installed lint
	OMP_NUM_THREADS=1 $(RUN)/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/installed
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

# PEERS="NAME=PYTHON ...": those whose pins clash with ours, in environments of their own. FOLDER: BEIR's layout.
bench: $(VENV)/installed
	$(RUN)/python -m pip install --quiet --editable '.[bench]'
	$(RUN)/python -m benchmarks.page $(addprefix --peer ,$(PEERS)) $(if $(FOLDER),--collection $(FOLDER))

bench-gpu: $(VENV)/installed
	$(RUN)/python -m benchmarks.gpu

bench-models: $(VENV)/installed
	$(RUN)/python -m benchmarks.models
	$(RUN)/python -m benchmarks.batching

bench-serving: $(VENV)/installed
	$(RUN)/python -m benchmarks.serving 120

# Real servers: the programs `qdrant` and `weaviate` have to be on PATH.
bench-databases: $(VENV)/installed
	$(RUN)/python -m benchmarks.databases $(FOLDER)
	$(RUN)/python -m benchmarks.qdrant_ingest
	$(RUN)/python -m benchmarks.weaviate_ingest
	$(RUN)/python -m benchmarks.search_growth
	$(RUN)/python -m benchmarks.compressor_growth ../shared/data/scifact ../shared/data/cranfield
	$(RUN)/python -m benchmarks.streaming

# FOLDERS of BEIR collections, NAME=MODEL in MODELS, PLAID=the python of an environment with fast-plaid.
study: $(VENV)/installed
	$(RUN)/python -m benchmarks.study $(FOLDERS) $(addprefix --model ,$(MODELS)) $(if $(PLAID),--plaid $(PLAID))

kills: $(VENV)/installed
	$(RUN)/python -m benchmarks.kills

clean:
	rm -rf $(VENV) .demo
