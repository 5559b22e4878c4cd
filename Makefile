# make study   a small study of all nine cells on music, speech and handwriting, its tables and its report (installs into .venv first)
# make test    the tests, doctests included, on all cores; it says how many it left to make long
# make long    the long tests: every page of docs in a shell, asv on two commits, more sizes and draws of what make test covers
# make emulation  the CUDA text of every cell on the CPU, in every order of threads, and what it takes of a GPU: docs/gpu-emulation.md
# make lint    ruff and mypy
# make clean   removes what was built; the results in study/ and .venv stay
#
# Nothing but make and Python 3.11 or newer is needed:  make study PYTHON=python3.12
# On Linux PyPI's torch is a build for CUDA of several GB. Where no GPU is wanted, a smaller one will do:
#   make study TORCH_INDEX=https://download.pytorch.org/whl/cpu
# pip's own configuration (index, proxy, certificates) holds as everywhere.

PYTHON ?= python3
TORCH_INDEX ?=
STORE ?= study
ARGS ?=

# Not taken from the environment: another project's VENV is not ours to install into.
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --constraint constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PARALLEL := --numprocesses auto --dist worksteal -rs
NEEDS := $(VENV)/.created pyproject.toml constraints.txt

# The tests start hundreds of processes, each of which would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: study test long emulation lint clean

study: $(VENV)/.package
	$(BIN)/odyssey run --profile smoke --store $(STORE) $(ARGS)

# One process a core; `make test ARGS="-n 0 tests/study/test_store.py"` is one process and one file.
test: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

long: $(VENV)/.test
	$(BIN)/python -m pytest $(PARALLEL) -m long $(ARGS)

# Needs g++; NVRTC comes with the packages. `make emulation ARGS=--quick` writes nothing and takes minutes.
emulation: $(VENV)/.test
	$(BIN)/python -m tests.tools.emulation $(ARGS)

# mypy cannot follow an editable install whose folders are mapped, so it reads a tree of links in build/typed.
lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	rm -rf build/typed && mkdir -p build/typed/lstm_odyssey
	cd build/typed/lstm_odyssey && ln -s ../../../suite/* ../../../variants ../../../tasks ../../../reports .
	$(BIN)/mypy

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .nox .hypothesis .benchmarks .asv
	find suite tasks variants reports tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: an install is repeated when pyproject.toml or constraints.txt is newer, and a larger one covers the smaller.
$(VENV)/.package: $(NEEDS)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: $(NEEDS)
	$(INSTALL) --editable ".[test]"
	touch $(VENV)/.package $@

$(VENV)/.dev: $(NEEDS)
	$(INSTALL) --editable ".[dev]"
	touch $(VENV)/.package $(VENV)/.test $@

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is Python %d.%d; expected 3.11 or newer. Name one: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	touch $@
