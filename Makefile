# Two commands do everything: `make demo` and `make test`. The rest are their parts. The product's own command is `twin`;
# it is called as a module here, for an environment that was installed before there was the script.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DO_NOT_TRACK := 1
export AXOLOTL_DO_NOT_TRACK := 1
# Threads that wait must sleep, or two busy processes on two cores slow each other tenfold.
export OMP_WAIT_POLICY := PASSIVE
export BENTOML_DO_NOT_TRACK := True
export DAGSTER_HOME ?= $(CURDIR)/.twin/dagster
# Where it is set, each of the many processes that are started compiles anew whatever it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo demo-monitoring twin up test test-vllm lint types unit e2e chaos validate dg clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: .venv/.installed ## Create .venv from the pins; TORCH_INDEX=<address> takes another build of torch

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) deploy/install.py all test scale k8s
	touch $@

demo: install ## Crawl, train, evaluate, approve and release the demo twin, offline on CPU
	$(BIN)/python -m twin_assets.cli demo

demo-monitoring: install ## Replay three weeks of production: what is alerted, and when a rebuild is asked for
	$(BIN)/python -m twin_assets.cli demo-monitoring

twin: install ## Bring PERSONA up to date; APPROVE_AS=name approves a passing candidate
	$(BIN)/python -m twin_assets.cli run "$(PERSONA)" $(if $(APPROVE_AS),--approve-as "$(APPROVE_AS)")

up: install ## Dagster and the two BentoML services; Ctrl-C stops them
	$(BIN)/python -m twin_assets.cli up

test: install lint types validate unit e2e ## Everything CI runs

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

.venv/dg/.installed: .venv/.installed deploy/dg/hashes.txt
	$(BIN)/python -m pip install -q --upgrade --no-deps --require-hashes -r deploy/dg/hashes.txt --target .venv/dg
	touch $@

dg: .venv/dg/.installed ## Dagster's own command for this project: make dg ARGS="list defs"
	@VIRTUAL_ENV=$(CURDIR)/.venv PYTHONPATH=.venv/dg:. $(BIN)/python -m dagster_dg_cli.cli $(ARGS)

validate: install .venv/dg/.installed
	mkdir -p $(DAGSTER_HOME)
	$(BIN)/dagster definitions validate -w workspace.yaml

# A worker that died ends the run, which names its test: begun anew, it can leave the others waiting for ever.
BY_FILE := --dist loadfile --no-loadscope-reorder --max-worker-restart 0

unit: install
	$(BIN)/python -m pytest -m 'not e2e' -n auto --maxprocesses 4 $(BY_FILE)

e2e: install
	$(BIN)/python -m pytest -m e2e -n auto --maxprocesses 2 $(BY_FILE)

.vllm/.installed: tests/support/vllm/install.py
	rm -rf .vllm
	$(PYTHON) tests/support/vllm/install.py .vllm
	touch $@

test-vllm: install .vllm/.installed ## The contract with vLLM against a real one, in an environment of its own (6 GB)
	TWIN_TEST_VLLM=$(CURDIR)/.vllm/bin/vllm $(BIN)/python -m pytest -s tests/serving/llm/vllm/test_contract.py

chaos: install ## Kills, full disks, ill buckets, odd requests: nothing may be lost; CHAOS="killed --seed 7" says which
	$(BIN)/python -m tests.chaos $(CHAOS)

clean: ## Remove what the platform wrote (collected data and models too); keeps .venv
	rm -rf .twin build *.egg-info
