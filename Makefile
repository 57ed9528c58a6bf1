# Two targets that a newcomer types: `make test` and `make repro`. Each sets itself up.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: test test-all test-lowest test-adapters lint lock repro clean

# Two processes of one thread each: small networks gain nothing from more threads, and lose much by sharing cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q --numprocesses=2 --dist=loadfile

test: $(READY)
	$(PYTEST) -m "not slow"

test-all: $(READY)
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

repro: $(READY)
	$(BIN)/python pipelines/recover.py
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

# torch first and by its pin: the build for the CPU where pip's settings know a place that has it, else the package
# index's, which brings gigabytes of CUDA on Linux. `make test TORCH=…` takes another one.
TORCH ?= $(shell sed -n 's/^torch==/torch==/p' constraints.txt)
install-torch = { $(1) -m pip install --quiet '$(TORCH)+cpu' 2>/dev/null || $(1) -m pip install --quiet '$(TORCH)'; }

# All else has its version and the digests of its files in requirements.lock: nothing is left for pip to choose.
$(READY): pyproject.toml constraints.txt requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(call install-torch,$(BIN)/python)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The newest versions that the bounds in pyproject.toml allow, tried in an environment of their own.
lock:
	$(PYTHON) -m venv --clear build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	$(call install-torch,build/lock/bin/python)
	build/lock/bin/python -m pip install --quiet --constraint constraints.txt '.[models,report,pipeline,remote,ray,test]'
	build/lock/bin/python tests/support/lock.py

# segdata's tests without torch, with every dependency at its lower bound.
test-lowest:
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/python tests/support/lowest.py > build/lowest/constraints.txt
	build/lowest/bin/python -m pip install --quiet --constraint build/lowest/constraints.txt '.[remote]' \
		pytest pytest-timeout hypothesis 'moto[s3]' flask flask-cors jsonschema scikit-learn
	PYTHONPATH=. build/lowest/bin/python -m pytest -q -m "not slow" tests/segdata

# Networks of other libraries, in an environment of its own: torchvision runs beside the very build of torch that it was
# made for, which is the package index's, with gigabytes of CUDA on Linux. The tests run on the CPU.
ADAPTERS := build/adapters

test-adapters: $(ADAPTERS)/.ready
	OMP_NUM_THREADS=1 $(ADAPTERS)/bin/python -m pytest -q --numprocesses=2 tests/adapters

$(ADAPTERS)/.ready: pyproject.toml constraints-adapters.txt requirements.lock
	$(PYTHON) -m venv --clear $(ADAPTERS)
	$(ADAPTERS)/bin/python -m pip install --quiet --upgrade pip
	$(ADAPTERS)/bin/python -m pip install --quiet --constraint constraints-adapters.txt torch torchvision
	$(ADAPTERS)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(ADAPTERS)/bin/python -m pip install --quiet --constraint constraints-adapters.txt \
		--editable '.[models,smp,timm,torchvision,hf,onnx]'
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
