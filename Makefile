# Two commands: `make demo` and `make test`. Both make their own virtual environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2
DEMO := natural pgd_at cushion_jpeg80 medrdf_sp_mf
# In this order: later recipes begin with the networks of earlier ones.
RECIPES := natural pgd_at trades mart hat mpadvt maadvt trades_awp fat ima ssat ensemble_at ard \
	defensive_distillation average_pooling bounded_relu drop_max dual_batch_norm natural_resnet50 natural_ag_sononet16 \
	comdefend comdefend_pgd_at hgd

.PHONY: help demo test explore test-slow lint benchmarks train official records install clean

help:
	@echo "make demo        evaluate four shipped baselines on the embedded data set and build the site"
	@echo "make test        lint, types and tests (minutes)"
	@echo "make explore     the tests again, property tests on cases never tried before"
	@echo "make test-slow   the tests that take minutes each"
	@echo "make benchmarks  speed against peers, as ratios"
	@echo "make train       retrain every baseline and surrogate from its recipe"
	@echo "make official    run the official matrix on the shipped baselines (hours)"
	@echo "make records     compute the board of the official rows, which the package carries"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt hatchling editables
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-build-isolation -e ".[dev]"
	touch $(READY)

install: $(READY)

demo: $(READY)
	$(BIN)/bench evaluate $(DEMO) --dataset synthetic_cxr --profile quick --workers $(WORKERS)

test: $(READY) lint
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --durations=10

explore: $(READY)
	HYPOTHESIS_PROFILE=default $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile

test-slow: $(READY)
	$(BIN)/python -m pytest -q -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

benchmarks: $(READY)
	$(BIN)/python -m pytest -q tests/benchmarks -m "" --benchmark-only

train: $(READY)
	for recipe in $(RECIPES); do $(BIN)/bench train $$recipe --overwrite || exit 1; done
	$(BIN)/bench train surrogates --overwrite

official: $(READY)
	for dataset in synthetic_cxr pneumoniamnist isic2017_64; do \
		$(BIN)/bench evaluate --results leaderboard/results --dataset $$dataset --workers $(WORKERS) --no-site || exit 1; done
	$(BIN)/bench matrix --write

records: $(READY)
	$(BIN)/python -m leaderboard.board

clean:
	rm -rf $(VENV) results site build dist
