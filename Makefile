# Every target does its own set-up; a second run does only what is new.
.DEFAULT_GOAL := help
PYTHON ?= python3.11
VENV := .venv
VENV4 := .venv-spark4
BIN := $(VENV)/bin
DEMO := build/demo
# Two processes, each with a Spark session of its own: tests/conftest.py says which has what.
PARALLEL := --numprocesses 2 --dist loadscope --no-loadscope-reorder

# DeepSpeed's operators are compiled where they are used; on a machine without a GPU its accelerator is the CPU.
DEEPSPEED := DS_BUILD_OPS=0 DS_ACCELERATOR=cpu

.PHONY: help setup setup-train run train test test-spark4 lint types bench bench-dedup bench-pii bench-train ner clean demo-sources

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1|/' | awk -F'|' '{printf "  %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## virtual environment with the locked versions, Delta's jars, compiled kernels

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v java >/dev/null || { echo "java: expected JDK 17 on PATH, found none: install it" >&2; exit 2; }
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON): expected Python 3.11, found none: install it or set PYTHON" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[spark,dev]'
	$(BIN)/python -m jobs.warm_up & $(BIN)/python -m jobs.resolve_jars && wait $$!
	touch $@

setup-train: $(VENV)/.ready-train ## torch, DeepSpeed and transformers (5 GB), into the same environment

# torch first: DeepSpeed's set-up imports it
$(VENV)/.ready-train: $(VENV)/.ready
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt torch ninja setuptools wheel
	$(DEEPSPEED) $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --no-build-isolation-package deepspeed --editable '.[spark,train,dev]'
	touch $@

demo-sources: setup
	@$(BIN)/python -m jobs.fetch_demo --list conf/demo-sdists.txt --to $(DEMO)/sdists

run: demo-sources ## the demo corpus, end to end on real code; prints where the report is
	@$(BIN)/stackmill refresh --conf conf/demo.yaml

train: run setup-train ## a tokenizer, token shards and a small model of the demo corpus
	@$(BIN)/stackmill train_tokenizer --conf conf/demo.yaml
	@$(BIN)/stackmill pack --conf conf/demo.yaml
	@$(BIN)/python -m training.pretrain --conf conf/training/smoke.yaml
	@$(BIN)/python -m training.ngram --manifest $(DEMO)/lake/shards/manifest.json --orders 1 2 --windows 1024 32768
	@$(BIN)/python -m training.ngram --manifest $(DEMO)/lake/shards/manifest.json --orders 1 2 --windows 1024 32768 --read $(DEMO)/smoke

test: setup-train ## all tests
	@$(BIN)/python -m pytest $(PARALLEL)

# The same versions but for what constraints-spark4.txt names.
$(VENV4)/.ready: pyproject.toml constraints.txt constraints-spark4.txt | setup
	test -x $(VENV4)/bin/python || $(PYTHON) -m venv $(VENV4)
	@mkdir -p build
	awk -F== 'NR==FNR {own[$$1]; next} !($$1 in own)' constraints-spark4.txt constraints.txt > build/constraints-common.txt
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(VENV4)/bin/python --constraint build/constraints-common.txt --constraint constraints-spark4.txt --editable '.[spark,dev]'
	$(VENV4)/bin/python -m jobs.resolve_jars
	touch $@

test-spark4: $(VENV4)/.ready ## the tests that need Spark, on PySpark 4.1 and Delta 4.4
	@$(VENV4)/bin/python -m pytest -m spark $(PARALLEL)

lint: setup ## ruff
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup-train ## mypy, strict
	@$(BIN)/mypy

ner: demo-sources setup-train ## the classifier of the context layer, trained anew (some 10 minutes)
	@$(BIN)/python -m training.ner --to etl/data/ner

bench: setup ## the measured figures of the README
	@$(BIN)/python -m bench.annotate

bench-pii: setup ## secrets and personal data: our finds in the labelled files, then other tools' finds
	@$(BIN)/python -m bench.pii_ours --to build/bench/pii-ours.jsonl
	@$(BIN)/python -m bench.pii_score build/bench/pii-ours.jsonl
	@$(BIN)/python -m bench.pii_peers --ours build/bench/pii-ours.jsonl

bench-train: setup-train ## training beside plain torch, memory of ZeRO's stages; after `make train`
	@$(BIN)/python -m bench.training --lake $(DEMO)/lake
	@$(BIN)/python -m bench.zero_memory

bench-dedup: setup ## near-dedup beside its peers: quality, CPU, refresh, adversarial inputs (an hour, 10 GB)
	@$(BIN)/python -m bench.dedup
	@$(BIN)/python -m bench.near_dedup_cost
	@$(BIN)/python -m bench.dedup_adversarial

clean: ## remove what was built, but not the environment
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
