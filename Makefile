# make demo   set up, fetch a small real model, and turn it into a specialist (after setting up, five to eight minutes on two
#             CPU cores)
# make test   set up, check style and types, and run the tests, a process for each core (four at most)
# make lint   style and types alone
# make torture  runs that are stopped, starved and fed rubbish, in full: about half an hour; as root also on full disks
# make bench  the benchmarks, if the data is there (BENCH_DATA=folder)
# make results  the tables of README.md and docs/ again, from benchmarks/results/*.json (the standard library is enough)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_DATA ?= ../shared/data

.PHONY: demo test lint torture bench results clean

demo: $(READY)
	$(BIN)/metier run examples/newspaper-sections/task.yaml

test: lint
	$(BIN)/python -m pytest -n auto --maxprocesses=4 --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy

# The fuzzer has wheels for Linux alone; without it, what it does is skipped.
torture: $(READY)
	-$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --only-binary=:all: -e '.[torture]'
	METIER_TORTURE=full $(BIN)/python -m pytest tests/torture tests/runs/test_killed.py -rs

bench: $(READY)
	$(BIN)/python benchmarks/self_guide.py --data $(BENCH_DATA)

results:
	$(PYTHON) benchmarks/tables.py

# torch comes first and alone: asked for by another package, pip would take the newest build with its CUDA libraries.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
