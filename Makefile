# make book and make test need python3 (3.11 to 3.13), make, and nothing else. The first run downloads about 1 GB (torch) into .venv.
PYTHON ?= python3
VENV := .venv
ifeq ($(OS),Windows_NT)
BIN := $(VENV)/Scripts
else
BIN := $(VENV)/bin
endif
PY := $(BIN)/python
EX ?=
BENCH ?= linear_scan
PORT ?= 8000

.PHONY: help book test test-fast notebooks serve grade check bench gpu-test clean

help:
	@echo "make book         build the book into _build/html (the first time 3 to 10 minutes, then seconds)"
	@echo "make test         build the book and run all tests, 6 to 10 minutes on two cores"
	@echo "make test-fast    the tests without the book and the browser, under 3 minutes"
	@echo "make notebooks    write the notebook twins of the pages"
	@echo "make serve        show the built book at http://localhost:$(PORT)"
	@echo "make grade EX=ex03    grade an exercise (all of them without EX)"
	@echo "make check        format, lint, types, twins, records"
	@echo "make bench        measure the kernels on this machine"
	@echo "make gpu-test     the tests that need a GPU, with the python3 of this machine; records where they passed"
	@echo "make clean        remove what was built; the environment stays"

# ---- the environment -------------------------------------------------------------------------------------------------

$(VENV)/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "This project needs Python 3.11, 3.12 or 3.13; $(PYTHON) is " + sys.version.split()[0] + ". Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)")'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@echo "Making the environment in $(VENV): 2 to 10 minutes, most of it the download of torch."
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# ---- the book and the tests ------------------------------------------------------------------------------------------

book: $(VENV)/installed
	$(PY) book/_ext/make_book.py

test: book
	@echo "Running all tests: 5 to 10 minutes on two cores."
	$(PY) -m pytest -n 2 -m "not gpu and not weekly"

test-fast: $(VENV)/installed
	$(PY) -m pytest -n 2 -m "not slow and not book and not browser and not gpu and not weekly"

notebooks: $(VENV)/installed
	$(PY) book/_ext/notebooks.py

serve: book
	$(PY) -m http.server --bind 127.0.0.1 --directory _build/html $(PORT)

grade: $(VENV)/installed
	$(PY) -m exercises.grade $(EX)

check: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PY) book/_ext/notebooks.py --check
	$(PY) book/_ext/recorded.py

bench: $(VENV)/installed
	$(PY) -m mambaedu.lab.bench $(BENCH)

# No environment of ours: a GPU machine has its own torch and Triton.
gpu-test:
	PYTHONPATH=.:kernels $(PYTHON) -m pytest -m gpu tests/kernels --record book/_data

clean:
	rm -rf _build
