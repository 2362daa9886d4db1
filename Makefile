# make demo        the whole program against a simulated cloud: no account, no configuration
# make test        everything that must hold before a change lands
# make test-fast   the unit tests that need no simulated cloud: under a minute
# make test-floor  some of it with the oldest libraries that pyproject.toml allows
# make test-roots  all of it on fresh Debians, from the oldest Python to the newest
# make lint        ruff, mypy --strict, import-linter
# make format      the code formatted, and what ruff can mend by itself
# make docs        docs/metrics.md and docs/configuration.md, from the code
# make dashboards  the Grafana dashboards, in English and Chinese
# make rules       the rules of Prometheus, from alerts.yml and the thresholds
# make schema      config.schema.json
# make dist        what a release consists of, in dist/
# make version     everything that repeats the version, brought to VERSION
# make run         the daemon with CONFIG (config.yaml)
# The virtual environment is made on first use and renewed when pyproject.toml changes.

PYTHON ?= python3
VENV   ?= .venv
FLOOR  ?= .venv-floor
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PROGRAM := $(VENV)/.program
PORT   ?= 10046
CONFIG ?= config.yaml
PYTEST_ARGS ?=
CORES  ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
# Many tests wait for something most of the time.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(3 * os.cpu_count())')

# The tests start the program some hundred times: it is compiled once, and not each time.
unexport PYTHONDONTWRITEBYTECODE

# Into a virtual environment: with pip, unless UV names a uv that succeeds.
UV ?=
install = $(if $(UV),$(UV) pip install --quiet --no-config --python $(1)/bin/python $(2) ||) \
  $(1)/bin/python -m pip install --quiet --disable-pip-version-check $(2)

.PHONY: help demo run test test-fast test-floor test-roots collect lint format bench schema docs rules dashboards lock dist chart image version notes check-tag clean

help:
	@sed -n '1,/^$$/s/^# \(make\)/\1/p' Makefile

# The program alone, for who only wants to see it run.
$(PROGRAM): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one with make PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "no venv module: on Debian and Ubuntu, apt-get install python3-venv"; exit 1; }
	$(call install,$(VENV),--editable .)
	@touch $@

$(STAMP): $(PROGRAM)
	$(call install,$(VENV),--editable '.[dev]')
	@touch $@

demo: $(PROGRAM)
	$(BIN)/ehpc-exporter demo --web.listen-address=127.0.0.1:$(PORT)

run: $(PROGRAM)
	$(BIN)/ehpc-exporter serve --config.file=$(CONFIG)

lint: $(STAMP)
	$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "run: make format"; exit 1; }
	$(BIN)/mypy
	$(BIN)/lint-imports

# Compiles the tests, which each worker would otherwise do for itself.
collect: $(STAMP)
	$(BIN)/pytest --collect-only -qq

# Cheap checks first, so that a slip shows in seconds; pytest last, so that its summary closes.
test: lint
	$(BIN)/pytest --numprocesses=$(WORKERS) --dist=worksteal $(PYTEST_ARGS)

# The unit tests that need no simulated cloud, with few examples of each property. They wait for nothing.
test-fast: $(STAMP)
	$(BIN)/pytest --quiet --numprocesses=$(CORES) --dist=worksteal tests/unit \
	  --hypothesis-profile=quick -m 'not simulated_cloud' $(PYTEST_ARGS)

# The oldest versions that pyproject.toml allows; `test` has the newest. The lean part of the tests:
# what the libraries do for us, by itself and through the real program. `test` also tries the
# properties with all their examples.
FLOOR_TESTS = tests/unit/api/test_payload.py tests/unit/api/test_shape.py tests/unit/config \
  tests/unit/cli/test_collecting.py tests/unit/web \
  tests/unit/test_collector.py tests/unit/test_telemetry.py tests/e2e/test_golden.py \
  tests/e2e/test_web.py tests/e2e/test_web_protected.py tests/e2e/transport

test-floor: $(FLOOR)/.installed
	$(FLOOR)/bin/pytest --quiet --numprocesses=$(WORKERS) --dist=worksteal $(FLOOR_TESTS) \
	  --hypothesis-profile=quick

$(FLOOR)/.installed: pyproject.toml tests/floor.py
	@test -x $(FLOOR)/bin/python || $(PYTHON) -m venv $(FLOOR) || { rm -rf $(FLOOR); exit 1; }
	$(PYTHON) tests/floor.py > $(FLOOR)/constraints.txt
	$(call install,$(FLOOR),--constraint $(FLOOR)/constraints.txt \
	  --editable . pytest pytest-xdist hypothesis trustme)
	@touch $@

ROOTS ?= bookworm trixie testing
test-roots:
	.ci/test-roots $(ROOTS)

format: $(STAMP)
	$(BIN)/ruff check --quiet --fix .
	$(BIN)/ruff format --quiet .

bench: $(STAMP)
	$(BIN)/python -m tests.bench

schema: $(STAMP)
	$(BIN)/python -m exporter.config.schema > config.schema.json

rules: $(STAMP)
	$(BIN)/python -m deploy.prometheus.generator

docs: $(STAMP)
	$(BIN)/python -m docs.generate_metrics > docs/metrics.md
	$(BIN)/python -m docs.generate_configuration > docs/configuration.md

dashboards: $(STAMP)
	$(BIN)/python -m deploy.grafana.generator

# What the image is made of, by hash: the newest versions that pyproject.toml allows.
LOCK = $(BIN)/uv pip compile --quiet --no-config --python-version=3.12 --python-platform=linux \
  --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --upgrade
lock: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) --output-file=deploy/requirements.txt pyproject.toml
	echo hatchling | $(LOCK) --output-file=deploy/requirements-build.txt -

# sdist, wheel, bill of materials and checksums of the last commit, proven reproducible
dist: $(STAMP)
	$(BIN)/python -m deploy.dist

# the chart, beside what `dist` makes
HELM ?= helm
chart:
	$(HELM) package deploy/helm/ehpc-exporter --destination dist

# the image, by docker or whatever has its command line
DOCKER ?= docker
IMAGE  ?= ehpc-exporter
image:
	$(DOCKER) build --file deploy/Dockerfile --tag $(IMAGE) \
	  --build-arg VERSION=$$($(PYTHON) -m deploy.version show) \
	  --build-arg REVISION=$$(git rev-parse HEAD) $(IMAGE_ARGS) .

# a new version; what the changelog says of this one; whether TAG is its tag
version:
	$(PYTHON) -m deploy.version set $(VERSION)
notes:
	@$(PYTHON) -m deploy.version notes
check-tag:
	$(PYTHON) -m deploy.version check $(TAG)

clean:
	rm -rf $(VENV) $(FLOOR) .venv-* build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
