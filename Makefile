# Everything a developer types. `make help` explains itself; a fresh machine needs Python >=3.11 and make, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
# Bytecode makes every start twice as fast; some machines switch it off for pip's sake.
export UV_COMPILE_BYTECODE := 1
export PYTHONDONTWRITEBYTECODE :=
export VIRTUAL_ENV := $(CURDIR)/$(VENV)
# Where to run end-to-end tests: the cluster on this machine when there is one, else whatever KUBECONFIG names.
CLUSTER := ../shared/cluster
ARGS ?=

##@ Use it
.PHONY: run
run: $(VENV)/.run operator/moltbot_router/static/.built ## Start an assistant here: no cluster, no key needed (ANTHROPIC_API_KEY=… answers with Claude)
	@exec $(BIN)/moltbot up -f examples/quickstart.yaml $(ARGS)

##@ Work on it
.PHONY: test
test: $(VENV)/.dev operator/moltbot_router/static/.built ## Everything that runs without a cluster; ARGS='-k wake' narrows it
	@$(BIN)/python .ci/browser.py
	@$(BIN)/pytest -m 'not cluster' -n 2 --dist loadgroup -q $(ARGS)

.PHONY: check
check: $(VENV)/.dev $(VENV)/.ui ## Formatting, lint, types, layers, generated files, the pages' types
	@$(BIN)/python .ci/check.py

.PHONY: fix
fix: $(VENV)/.dev ## Format, mend what lint can mend, generate crds/ anew
	@$(BIN)/ruff check -q --fix . || true
	@$(BIN)/ruff format -q .
	@$(BIN)/python -m moltbot_api.crd --write crds charts/moltbot-operator/files/crds

.PHONY: ui
ui: operator/moltbot_router/static/.built ## Build the Control UI and the administration

.PHONY: pictures
pictures: $(VENV)/.dev ui ## Take the README's pictures anew, of the real pages
	@$(BIN)/python .ci/browser.py
	@PYTHONPATH=. $(BIN)/python .ci/pictures.py

.PHONY: bench
bench: $(VENV)/.dev ## Measure (docs/benchmarks.md); ARGS='gateway_start' picks one
	@$(BIN)/python -m bench $(ARGS)

.PHONY: live
live: $(VENV)/.dev ## A chat, a tool, a picture and a cache read against the real API (ANTHROPIC_API_KEY=…)
	@$(BIN)/python .ci/live.py

##@ Clusters
.PHONY: images
images: ## Build both images with docker or buildah (PYTHON_IMAGE=…, NODE_IMAGE=…)
	@.ci/images

.PHONY: e2e
e2e: $(VENV)/.dev ## End to end on a real cluster: the one beside this checkout, else KUBECONFIG
	@.ci/e2e $(ARGS)

.PHONY: kind
kind: ## Build, load and install on a kind cluster (needs docker, kind, helm)
	@.ci/kind kind

.PHONY: k3d
k3d: ## The same on k3d
	@.ci/kind k3d

##@ About
.PHONY: help
help: ## This text
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z0-9-]+:.*## / {printf "  \033[36m%-8s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: clean
clean: ## Remove what was built here (never an assistant's memory)
	@rm -rf $(VENV) operator/ui/node_modules operator/moltbot_router/static dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/bin/uv:
	@echo "making $(VENV) …"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (PYTHON=… names another one)")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install -q --disable-pip-version-check uv==$(UV_VERSION)

$(VENV)/.run: pyproject.toml requirements.lock | $(VENV)/bin/uv
	@echo "installing packages …"
	@$(BIN)/uv pip install -q --verify-hashes -c requirements.lock -e '.[local]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(BIN)/uv pip install -q --verify-hashes -c requirements.lock -e '.[local]' --group dev
	@touch $@

# Node.js: the machine's own when it is new enough, else from PyPI.
$(VENV)/.ui: operator/ui/package.json operator/ui/package-lock.json | $(VENV)/bin/uv
	@.ci/npm ci
	@touch $@

operator/moltbot_router/static/.built: $(VENV)/.ui $(shell find operator/ui -type f -not -path '*/node_modules/*' 2>/dev/null)
	@.ci/npm run build
	@touch $@

.PHONY: lock
lock: $(VENV)/bin/uv ## Resolve dependencies anew into requirements.lock
	@$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  pyproject.toml --all-extras --group dev -o requirements.lock
