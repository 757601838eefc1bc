# Two commands: `make demo` and `make test`. Both make their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: help demo test test-slow lint benchmarks train official install clean

help:
	@echo "make demo        evaluate the shipped baselines on the embedded data set and build the site"
	@echo "make test        lint, types and tests (minutes)"
	@echo "make test-slow   the tests that take minutes each"
	@echo "make benchmarks  speed against peers, as ratios"
	@echo "make train       retrain every baseline and surrogate from its recipe"
	@echo "make official    run the official matrix on the shipped baselines (hours)"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[dev]"
	touch $(READY)

install: $(READY)

demo: $(READY)
	$(BIN)/bench evaluate --profile quick --workers $(WORKERS)

test: $(READY) lint
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmarks: $(READY)
	$(BIN)/python -m pytest -q tests/benchmarks -m "" --benchmark-only

train: $(READY)
	$(BIN)/bench train natural
	for recipe in pgd_at trades mart hat mpadvt maadvt trades_awp; do $(BIN)/bench train $$recipe || exit 1; done
	$(BIN)/bench train cushion_jpeg80
	$(BIN)/bench train medrdf_sp_mf
	$(BIN)/bench train surrogates

official: $(READY)
	$(BIN)/bench evaluate --results leaderboard/results --dataset synthetic_cxr --workers $(WORKERS) --no-site
	$(BIN)/bench evaluate --results leaderboard/results --dataset pneumoniamnist --workers $(WORKERS) --no-site

clean:
	rm -rf $(VENV) results site build dist
