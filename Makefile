# make demo   set up, fetch a small real model, and turn it into a specialist (after setting up, five to eight minutes on two
#             CPU cores)
# make test   set up, check style and types, and run the tests, a process for each core (four at most)
# make lint   style and types alone
# make torture  runs that are stopped, starved and fed rubbish, in full: about half an hour; as root also on full disks
# make vllm-env  an environment with vLLM's build for processors (Linux, x86-64, 3.5 GB), in .venv-vllm (or VLLM=FOLDER)
# make test-vllm  the tests of vLLM there: the engine, its server, and workers with it; a quarter of an hour on two cores
# make bench  the benchmarks, if the data is there (BENCH_DATA=folder)
# make results  the tables of README.md and docs/ again, from benchmarks/results/*.json (the standard library is enough)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
VLLM ?= .venv-vllm
VLLM_READY := $(VLLM)/.ready
BENCH_DATA ?= ../shared/data

.PHONY: demo test lint torture vllm-env test-vllm bench results clean

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

vllm-env: $(VLLM_READY)

# With its processes, vLLM takes a minute more to load; what is tested is the same in one.
test-vllm: $(VLLM_READY)
	VLLM_ENABLE_V1_MULTIPROCESSING=0 VLLM_LOGGING_LEVEL=ERROR $(VLLM)/bin/python -m pytest tests/engines/test_contract.py \
		tests/engines/test_vllm.py
	VLLM_LOGGING_LEVEL=ERROR $(VLLM)/bin/python -m pytest tests/engines/test_vllm_pool.py tests/serving/test_on_vllm.py

bench: $(READY)
	$(BIN)/python benchmarks/self_guide.py --data $(BENCH_DATA)

results:
	$(PYTHON) benchmarks/tables.py

# torch comes first and alone: asked for by another package, pip would take the newest build with its CUDA libraries.
# Bytecode is left to the first import: to make all of it took 46 of 114 seconds, and most is never used.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Every package is named in the file, so nothing is left to pip's resolver.
$(VLLM_READY): constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-vllm.txt
	$(VLLM)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

clean:
	rm -rf $(VENV) $(VLLM) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis
