# PYTHON is any Python from 3.11 on. VENV is made on demand and holds everything; JAX is what
# pip shall install there for JAX.
PYTHON ?= python3
VENV ?= .venv
JAX ?= jax
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The FFI headers to build against, of the oldest jaxlib that works (see pyproject.toml).
FFI_JAXLIB := jaxlib==0.8.2
FFI_HEADERS := build/ffi_headers
PIP := $(BIN)/python -m pip --disable-pip-version-check
NATIVE := CMakeLists.txt pyproject.toml \
  $(shell find xla_ffi -name '*.cc' -o -name '*.h' -o -name CMakeLists.txt)

.PHONY: help demo test test-all native-test lint format bench wheel wheel-test clean

help:  ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/.built  ## Train a model, put its tables on disk, serve it: the main job
	$(BIN)/python examples/movielens/main.py --out demo_output

test: $(VENV)/.built  ## Every test but the slow ones; under ten minutes
	$(BIN)/python -m pytest -q -m "not slow"

test-all: $(VENV)/.built native-test  ## Every test that needs no GPU, the core's own included
	$(BIN)/python -m pytest -q

native-test: $(VENV)/.tools  ## Tests of the C++ core: plain, ASan and UBSan, TSan
	tests/native/run.sh

lint: $(VENV)/.built  ## Style, types and formatting; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run --Werror $$(git ls-files '*.cc' '*.h')

format: $(VENV)/.built  ## Format Python and C++
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $$(git ls-files '*.cc' '*.h')

bench: $(VENV)/.built  ## Measure; needs 8 GiB of memory and disk and some forty minutes
	$(BIN)/python -m benchmarks lookup --json benchmarks/results/lookup.json
	$(BIN)/python -m benchmarks storage --json benchmarks/results/storage.json
	$(BIN)/python -m benchmarks cache --json benchmarks/results/cache.json
	$(BIN)/python -m benchmarks policies --json benchmarks/results/policies.json

wheel: $(VENV)/.tools  ## A wheel for this Python, in dist/
	$(PIP) wheel -q --no-deps -w dist .

wheel-test: wheel  ## Install the wheel in an environment of its own, and look something up
	rm -rf build/wheel_venv && $(PYTHON) -m venv build/wheel_venv
	build/wheel_venv/bin/python -m pip install -q --disable-pip-version-check "$(JAX)" dist/*.whl
	cd build && wheel_venv/bin/python ../.ci/wheel_check.py

clean:  ## Remove what was built
	rm -rf build dist $(VENV)

$(VENV)/.tools:
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "jax_hps needs Python 3.11 or newer: make PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q --upgrade pip
	$(PIP) install -q "cmake>=3.24" "ninja>=1.11" "pybind11>=3.0" "scikit-build-core>=0.11"
	touch $@

$(FFI_HEADERS): | $(VENV)/.tools
	$(PIP) download -q --no-deps --only-binary=:all: -d build/ffi_wheel $(FFI_JAXLIB)
	mkdir -p $@.part
	cd $@.part && $(abspath $(BIN))/python -m zipfile -e ../ffi_wheel/jaxlib-*.whl .
	mkdir -p $@ && cp -r $@.part/jaxlib/include/. $@
	rm -rf $@.part build/ffi_wheel

# Editable: Python files are used where they stand, and only what changed of the C++ is compiled.
$(VENV)/.built: $(NATIVE) | $(VENV)/.tools $(FFI_HEADERS)
	$(PIP) install -q --no-build-isolation -e '.[examples,lint,test]' "$(JAX)" \
	  -C cmake.define.JAX_HPS_FFI_INCLUDE_DIR=$(abspath $(FFI_HEADERS))
	touch $@
