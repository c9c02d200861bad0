# make demo   installs what it needs, then runs the main job on the starter catalog
# make test   installs what it needs, then passes the tests; CI calls exactly this
# make audit  rebuilds the starter catalog twice, elsewhere, and compares every byte
# make bench  measures the speed of plans; docs/explanation/speed.md has the results
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-arm64 audit test lint compiled bench bench-sync env clean

$(BIN)/ssds: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ssds needs Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/packages env demo
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $(BIN)/ssds

env: $(BIN)/ssds

demo: env
	@.ci/packages demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/demo.py

demo-arm64: env
	@.ci/packages demo arm64
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/demo.py --arm64

# AUDIT="seqtk bwa" audits those recipes only
audit: env
	@.ci/packages demo audit
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python .ci/audit.py $(AUDIT)

lint: env
	$(BIN)/ruff format --check ssds tests benchmarks .ci
	$(BIN)/ruff check ssds tests benchmarks .ci
	$(BIN)/mypy

# compiled first: tests start ssds a thousand times, and each of the workers reads all test files;
# some machines write no byte code by themselves
$(VENV)/.tests-compiled: $(BIN)/ssds $(wildcard tests/*.py tests/*/*.py)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --collect-only -q >/dev/null
	@touch $@

compiled: $(VENV)/.tests-compiled
	@$(BIN)/python -m compileall -q ssds

test: lint
	@.ci/packages demo test audit
	@$(MAKE) --no-print-directory compiled
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

# measures what users run: an installed ssds, compiled, without the hooks of an editable install
bench: .bench/venv
	.bench/venv/bin/python benchmarks/run.py --save $(BENCH)

# a sync beside skopeo, and what it asks a registry; needs docker-registry and skopeo
bench-sync: .bench/venv
	.bench/venv/bin/python benchmarks/sync.py --save $(BENCH)

.PHONY: .bench/venv
.bench/venv: env
	$(BIN)/python -m venv .bench/venv
	.bench/venv/bin/python -m pip install --quiet '.[bench]'
	.bench/venv/bin/python -m pip install --quiet --force-reinstall --no-deps .

clean:
	rm -rf .audit .demo .ssds build dist *.egg-info
