# Everything a newcomer or a CI machine needs: Python >= 3.11 and make.
#   make demo    simulate raw ramps, reduce them in the quicklook notebook, keep the products
#   make test    every test, doctest and tutorial, and the docs build
#   make lint    formatting, lint and types
#   make bench   memory and speed of the detector level on a large file
#   make check   the long statistical checks
#   make golden  comparison with the STScI pipeline, in an environment of its own
#   make peers   speed and accuracy beside the STScI pipeline, same data, one run

PYTHON ?= python3
VENV ?= .venv
GOLDEN ?= .venv-golden
BIN := $(VENV)/bin
OUTPUT ?= output
STAMP := $(VENV)/.installed

export MPLCONFIGDIR ?= $(abspath $(VENV))/matplotlib
export PYDEVD_DISABLE_FILE_VALIDATION = 1

.PHONY: demo test lint docs bench check golden peers clean

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[all]"
	touch $@

demo: $(STAMP)
	$(BIN)/python tutorials/run_demo.py --output $(OUTPUT)

test: $(STAMP)
	$(BIN)/python -m pytest tests --durations=10
	$(BIN)/python -m pytest --doctest-modules tsoxr --quiet
	$(BIN)/python -m pytest --nbval-lax --nbval-cell-timeout=300 tutorials --quiet
	$(MAKE) docs

lint: $(STAMP)
	$(BIN)/ruff format --check tsoxr tests benchmarks docs tutorials
	$(BIN)/ruff check tsoxr tests benchmarks docs tutorials
	$(BIN)/mypy

docs: $(STAMP)
	$(BIN)/python -m sphinx -W --keep-going -q -b html docs docs/_build/html

bench: $(STAMP)
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/simulator.py

check: $(STAMP)
	$(BIN)/python -m pytest tests --run-long

$(GOLDEN)/.installed: pyproject.toml
	$(PYTHON) -m venv $(GOLDEN)
	$(GOLDEN)/bin/python -m pip install --quiet --upgrade pip
	$(GOLDEN)/bin/python -m pip install --quiet --editable ".[test]" --group golden
	touch $@

golden: $(GOLDEN)/.installed
	$(GOLDEN)/bin/python -m pytest tests/golden --durations=10

peers: $(STAMP) $(GOLDEN)/.installed
	$(BIN)/python benchmarks/ramps.py --jwst $(GOLDEN)/bin/python
	$(BIN)/python benchmarks/jumps.py --jwst $(GOLDEN)/bin/python --speed
	$(BIN)/python benchmarks/stripe_speed.py --jwst $(GOLDEN)/bin/python
	$(BIN)/python benchmarks/detector_level.py --jwst $(GOLDEN)/bin/python
	$(BIN)/python benchmarks/outliers.py --jwst $(GOLDEN)/bin/python

clean:
	rm -rf $(VENV) $(GOLDEN) $(OUTPUT) docs/_build docs/generated
