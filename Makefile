# Every target works on a fresh machine that has Python 3.11 or later and make.
# Each one brings .venv up to date first, which costs nothing while the lock and pyproject.toml are unchanged.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
  $$p -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
UV_VERSION := 0.13.8

LOCK := requirements/dev.lock
PY := .venv/bin/python
STAMP := .venv/.installed
# Folders that come later in the tree's life are checked from the day they exist.
CODE := $(wildcard operator/sluice tests tools bench)
TESTBED := PYTHONPATH=tests $(PY) -m testbed
PYTEST := $(PY) -m pytest

# Narrow any test target: make unit ARGS='-k gates -x'
ARGS ?=
# Tests run in so many processes, file by file; on the testbed each has a network namespace and clusters of its own.
WORKERS ?= 2
BESIDE := --dist=loadfile --tx='$(WORKERS)*popen//python=$(PY) -m testbed run -- $(PY)'

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST) \
	  | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9;]*m//g'; fi

.PHONY: venv
venv: $(STAMP) ## Create .venv from the lock file, with this checkout installed in it

$(STAMP): $(LOCK) pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo 'Sluice needs Python 3.11 or later with its venv module (Debian: apt-get install python3-venv). Or name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@[ -x $(PY) ] || { echo "Creating .venv with $(PYTHON)"; $(PYTHON) -m venv .venv; }
	@echo "Installing $(LOCK) (about a minute the first time)"
	@$(PY) -m pip install --quiet --require-hashes --requirement $(LOCK)
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: check lint format-check types imports crds member-crds-write api-docs-write cli-docs cli-docs-write reasons-docs reasons-docs-write
.PHONY: helm-chart helm-chart-write
check: lint format-check types imports crds cli-docs reasons-docs helm-chart ## Lint, formatting, types, direction of imports, generated pages

lint: $(STAMP) ## Ruff's rules
	$(PY) -m ruff check $(CODE)

format-check: $(STAMP) ## Is everything formatted?
	$(PY) -m ruff format --check $(CODE)

types: $(STAMP) ## mypy, strict
	$(PY) -m mypy $(CODE)

imports: $(STAMP) ## Do imports point one way? (import-linter)
	.venv/bin/lint-imports

crds: $(STAMP) ## Do CRDs and models agree, are members' CRDs and docs/reference/api.md up to date?
	$(PY) tools/gen_member_crds.py --check
	$(PY) tools/check_crds.py
	$(PY) tools/gen_api_docs.py --check

member-crds-write: $(STAMP) ## Write the CRDs of member clusters from those of Rollout and RolloutRun
	$(PY) tools/gen_member_crds.py

api-docs-write: $(STAMP) ## Write docs/reference/api.md from the CRDs
	$(PY) tools/gen_api_docs.py

cli-docs: $(STAMP) ## Is docs/reference/cli.md what the help texts say?
	$(PY) tools/gen_cli_docs.py --check

cli-docs-write: $(STAMP) ## Write docs/reference/cli.md from the help texts
	$(PY) tools/gen_cli_docs.py

reasons-docs: $(STAMP) ## Is every condition, phase and reason explained in docs/reference/reasons.md?
	$(PY) tools/gen_reasons_docs.py --check

reasons-docs-write: $(STAMP) ## Write docs/reference/reasons.md
	$(PY) tools/gen_reasons_docs.py

helm-chart: $(STAMP) ## Has the Helm chart the CRDs, policies, roles and settings of today?
	$(PY) tools/gen_helm_chart.py --check

helm-chart-write: $(STAMP) ## Write these parts of helm/sluice
	$(PY) tools/gen_helm_chart.py

.PHONY: format
format: $(STAMP) ## Format, and mend what ruff can mend safely
	$(PY) -m ruff format $(CODE)
	$(PY) -m ruff check --fix $(CODE)

.PHONY: test unit contract e2e
test: unit contract e2e ## Every test: unit and property, contract, end to end with real traffic

unit: $(STAMP) ## Unit and property tests: no cluster, seconds
	$(PYTEST) tests/unit -n $(WORKERS) --dist=worksteal $(ARGS)

contract: $(STAMP) ## Contract tests, against a real API server that the testbed starts
	$(TESTBED) build
	PYTHONPATH=tests $(PYTEST) tests/contract --target=testbed $(BESIDE) $(ARGS)

e2e: $(STAMP) ## End-to-end tests, on the testbed: real API server, real proxy, real Prometheus
	$(TESTBED) build
	PYTHONPATH=tests $(PYTEST) tests/e2e --target=testbed $(BESIDE) $(ARGS)

.PHONY: demo demo-real
demo: $(STAMP) ## A canary, an abort and a kill switch in the terminal; needs no cluster
	@.venv/bin/sluice demo

demo-real: $(STAMP) ## The same story on the testbed, with requests counted by version
	@$(TESTBED) run -- .venv/bin/sluice demo --real

.PHONY: testbed testbed-down
testbed: $(STAMP) ## Leave a testbed running, with a kubeconfig to play with; MEMBERS=4 for a fleet
	@$(TESTBED) up --members $(or $(MEMBERS),0)

testbed-down: $(STAMP) ## Stop it
	@$(TESTBED) down

.PHONY: bench-kill bench-idle bench-update bench-fleet bench-fleet-away bench-fleet-plots bench-fleet-sim bench-shards bench-large bench-policies \
  bench-audit
bench-kill: $(STAMP) ## How long a kill takes, beside a bare client; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/kill.py $(ARGS)

bench-idle: $(STAMP) ## What a quiet fleet costs; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/idle.py $(ARGS)

bench-update: $(STAMP) ## How long new images take to their first weight, and what that costs; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/update.py $(ARGS)

bench-fleet: $(STAMP) ## What Rollouts over ten API servers cost, and a kill of all; ARGS='--members 3 --rollouts 20'
	@$(TESTBED) run -- $(PY) bench/fleet_members.py $(ARGS)

bench-fleet-away: $(STAMP) ## What members that are away cost a kill, and who is back; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/fleet_away.py $(ARGS)

bench-fleet-plots: $(STAMP) ## Draw the figures in bench/results for docs/reference/performance.md
	@$(PY) bench/plot.py

bench-fleet-sim: $(STAMP) ## What a fleet costs its hub, and that its order holds, in memory; the last line is JSON
	@PYTHONPATH=tests $(PY) bench/fleet_sim.py $(ARGS)

bench-shards: $(STAMP) ## What three replicas give beside one, on the same fleet; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/shards.py $(ARGS)

bench-large: $(STAMP) ## 10,000 Rollouts on one process and on three: ready, memory, a kill of all; the last line is JSON
	@$(TESTBED) run -- $(PY) bench/large.py $(ARGS)

bench-policies: $(STAMP) ## What policies over 10,000 Rollouts cost each pass, in memory; the last line is JSON
	@$(PY) bench/policies.py $(ARGS)

bench-audit: $(STAMP) ## How long it takes to check an audit of 10,000 entries; the last line is JSON
	@$(PY) bench/proof.py $(ARGS)

.PHONY: lock
lock: ## Resolve pyproject.toml anew into the lock file (UPGRADE=1: take newer versions)
	@[ -x $(PY) ] || $(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet uv==$(UV_VERSION)
	@for lock in dev run; do \
	  extra=$$([ $$lock = dev ] && echo '--extra dev' || true); \
	  .venv/bin/uv pip compile pyproject.toml $$extra --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade) \
	    --quiet --output-file requirements/$$lock.lock; \
	done

.PHONY: clean
clean: ## Remove .venv, caches and build output (not the testbed's cached binaries)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find operator tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
