# make setup | demo | test | test-slow | lint | clean

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.setup-done
# Extra arguments for the torch install, e.g. a CPU build:
#   make setup TORCH="torch torchvision --index-url https://download.pytorch.org/whl/cpu"
TORCH  ?= "torch>=2.6,<3" "torchvision>=0.21,<1"

.PHONY: setup demo test test-slow lint clean

setup: $(STAMP)

# uv installs torch in half a minute. torch comes first because BasicSR's build imports it, and
# build isolation is off for BasicSR alone (see tool.uv in pyproject.toml).
$(STAMP): pyproject.toml setup.py Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 10) <= v <= (3, 12) else \
	  f"Python 3.10 to 3.12 is needed, {sys.executable} is {v[0]}.{v[1]}: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python $(TORCH) "numpy<3" cython setuptools wheel
	$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python --editable ".[dev]"
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

test: lint
	$(BIN)/python -m pytest -m "not slow"

test-slow: setup
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
