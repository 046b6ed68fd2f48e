# make setup | demo | test | test-slow | lint | format | docs | lock | clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.setup-done
# Extra arguments for the torch install, e.g. a CPU build:
#   make setup TORCH="torch torchvision --index-url https://download.pytorch.org/whl/cpu"
TORCH  ?= "torch>=2.10,<3" "torchvision>=0.25,<1"

# LOCKED=1 installs the versions in requirements.lock instead of the newest ones.
CONSTRAINTS := $(if $(LOCKED),--constraint requirements.lock)
INSTALL := $(BIN)/uv pip install --compile-bytecode --python $(BIN)/python $(CONSTRAINTS)

.PHONY: setup demo test test-slow lint format docs lock clean

setup: $(STAMP)

# uv installs torch in half a minute. torch comes first so that the choice of its build holds; build
# isolation is off for BasicSR alone (see tool.uv in pyproject.toml), because it would download a
# second torch. On Python 3.13 and later BasicSR's wheel is built first, see basicsr_wheel.py.
$(STAMP): pyproject.toml setup.py Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 13) else \
	  f"Python 3.10 to 3.13 is needed, {sys.executable} is {v[0]}.{v[1]}: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(INSTALL) $(TORCH) "numpy<3" cython setuptools wheel
	@mkdir -p $(VENV)/wheels
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 13))'; then \
	  $(INSTALL) pooch requests && $(BIN)/python -m lrfdn_arch.basicsr_wheel --out $(VENV)/wheels; fi
	$(INSTALL) --find-links $(VENV)/wheels --editable ".[dev]"
	@touch $@

# The picture and the runs' folders are described in the README.
demo: setup
	$(BIN)/lrfdn prepare photos --out datasets/photos
	$(BIN)/python train.py -opt options/train/LRFDN/train_LRFDN_x4_demo.yml
	$(BIN)/python test.py -opt options/test/LRFDN/test_LRFDN_x4_demo.yml
	$(BIN)/lrfdn versus-bicubic -opt options/test/LRFDN/test_LRFDN_x4_demo.yml --out results/demo.png --beside shipped=lrfdn_x4

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/lint-imports --no-logo

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --clean

# One file for Python 3.10 to 3.13 on every platform; without index and URLs, so that any index
# serves it, that of torch's CPU builds among them.
lock: setup
	echo "# The versions that the tests run with: make setup LOCKED=1. Renewed by make lock." > requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --upgrade \
	  --python $(BIN)/python --no-header --no-emit-index-url --no-emit-find-links >> requirements.lock

# One process per core this one may use, and torch on one thread in each; in the slow tests torch uses
# all cores.
CORES := $(BIN)/python -c "from lrfdn_arch.device import usable_cores; print(min(8, usable_cores()))"

test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow" -n $$($(CORES)) --dist worksteal

test-slow: setup
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .ruff_cache
