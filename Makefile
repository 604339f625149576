# Everything runs from .venv, which the first target that needs it creates. `make` alone lists the targets.
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
READY := .venv/.stamp

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench docs

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## create .venv and install the library, its extras and the tools there

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else "$(PYTHON) is Python %d.%d; Girsanov needs 3.11 or newer. Name one: make setup PYTHON=python3.12" % v[:2])'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs]'
	@touch $@

demo: $(READY) ## learn from real digits, sample, report (about 4 minutes)
	$(BIN)/girsanov demo

test: $(READY) ## run the tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

lint: $(READY) ## check style, format, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## run the benchmarks and renew their table in the docs
	$(BIN)/python benchmarks/run.py

docs: $(READY) ## build the documentation into site/, without the network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'Open site/index.html.'
