# Two commands for a new user: `make demo` and `make test`. ARGS passes flags on.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# More than cores: tests on Kafka wait longer than they compute. After a crash of a process, tests by file would wait forever.
WORKERS ?= 4
PARALLEL := -n $(WORKERS) --dist loadfile --max-worker-restart 0

.PHONY: setup demo up down parts test quick recompute check scan audit sbom bench chaos fuzz compiled lock clean

setup: $(VENV)/.runtime

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Reprieve needs Python 3.11 or newer; set PYTHON=python3.11 or the like.")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements.lock pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

demo: setup
	$(BIN)/reprieve demo $(ARGS)

# Apache Kafka and Redis on this machine, where Java, Maven and redis-server are at hand.
up: setup
	$(BIN)/reprieve up $(ARGS)

down: setup
	$(BIN)/reprieve down $(ARGS)

# What tests run beside Kafka, from Debian's packages where it is missing and we may install it.
parts: $(VENV)/.python
	@command -v redis-server >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq redis-server >/dev/null; } \
		|| echo "redis-server is missing and cannot be installed; its tests are skipped"
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
		&& apt-get update -qq && apt-get install -y -qq chromium fonts-noto-cjk >/dev/null; } \
		|| echo "chromium is missing and cannot be installed; its tests are skipped"
	@{ command -v promtool && command -v prometheus; } >/dev/null || test -x $(BIN)/prometheus || { command -v apt-get >/dev/null && cd $(VENV) \
		&& { [ "$$(id -u)" != 0 ] || apt-get update -qq; } && apt-get download -qq -o APT::Sandbox::User=root prometheus >/dev/null \
		&& dpkg -x prometheus_*.deb prometheus && cp prometheus/usr/bin/promtool prometheus/usr/bin/prometheus bin/; } \
		|| echo "prometheus is missing and cannot be had; its tests are skipped"
	@command -v go >/dev/null && cd tests/go && go build -o built/ ./... \
		|| echo "Go or its modules are missing; the tests of compose and Kubernetes files are skipped"

test: $(VENV)/.dev parts
	$(BIN)/python -m pytest $(PARALLEL) --no-loadscope-reorder $(ARGS)

# For work in hand: rules, contracts, states and tasks, without what draws long histories or starts servers.
LONG := $(addprefix --ignore=tests/,$(addsuffix .py,$(addprefix agents/test_,account_orders account_view contact_windows guardrails \
	held_out learning option_promises pack_lives planner_properties planner_stress shown_figures) schemas/test_hostile_input state/test_texts))
quick: $(VENV)/.dev
	$(BIN)/python -m pytest -q $(PARALLEL) $(LONG) tests/agents tests/schemas tests/state tests/test_architecture.py \
		$(addsuffix .py,$(addprefix tests/streams/test_,alerts agent_store health identity stream_task task_clocks store_transaction)) $(ARGS)

# Every figure of many drawn accounts, worked out again from docs/rules.md: make recompute ARGS="--account-days 2000000 --seed 1".
recompute: $(VENV)/.dev
	$(BIN)/python -m tests.recomputation $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The supply chain, offline: locks, licences, bandit, secrets.
scan: $(VENV)/.dev
	$(BIN)/python -m tests.supply scan

# Asks the package index which locked packages are known to be at fault; fails where nobody answers.
audit: $(VENV)/.dev
	$(BIN)/python -m tests.supply audit

# What a release is made of, as CycloneDX: the same lock gives the same bytes.
sbom: $(VENV)/.dev
	$(BIN)/python -m tests.supply sbom build/sbom.cdx.json

bench: $(VENV)/.dev
	$(BIN)/python -m bench $(ARGS)

# Real faults against real workers and brokers: make chaos ARGS="--faults 1000 --seed 7".
chaos: $(VENV)/.dev
	$(BIN)/python -m tests.chaos $(ARGS)

# Hostile input for every door, guided by what it reaches (Linux): make fuzz ARGS="--seconds 600".
fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz $(ARGS)

# The compiled readers, and the tests of all that reads by them.
compiled: $(VENV)/.dev
	rm -rf build/compiled && mkdir -p build/compiled
	REPRIEVE_COMPILED=1 $(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation -w build/compiled .
	$(BIN)/python -m zipfile -e build/compiled/*.whl build/compiled
	cp -r tests bench pyproject.toml setup.py README.md LICENSE build/compiled
	cd build/compiled && $(CURDIR)/$(BIN)/python -m pytest $(PARALLEL) tests/schemas tests/streams $(ARGS)

# Pins every package with its hashes, for every platform from Python 3.11 on; names no index.
lock: $(VENV)/.python
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra build --extra otel -o requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --extra build --extra otel --group dev -o requirements-dev.lock

clean:
	rm -rf $(VENV) .cache build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
