# `make run` and `make test` need nothing but Debian or Ubuntu with Python 3.11 or 3.12.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
LOCK := docker/lock/cpu.txt
UI := app/ui

.PHONY: setup run test test-fast soak bench bench-gpu lint generate types audit

setup: $(VENV)/.installed
	@bash docker/tools.sh ffmpeg redis-server

run: setup
	@exec $(PYTHON) -m workers.process.supervisor

$(VENV)/.installed: $(LOCK) docker/install.sh
	bash docker/install.sh "$(VENV)" "$(LOCK)"
	touch $@

test: setup
	@bash docker/tools.sh espeak-ng chromium node=nodejs
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 3 --dist loadfile $(ARGS)

test-fast: setup
	OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n 3 --dist loadfile -m "not slow" $(ARGS)

deploy-test: setup
	@bash docker/tools.sh ffmpeg
	@if docker info >/dev/null 2>&1; then $(PYTHON) -m tests.deploy $(ARGS); \
	else bash tests/deploy/engine.sh $(abspath $(PYTHON)) -m tests.deploy --no-build $(ARGS); fi

soak: setup
	@bash docker/tools.sh espeak-ng
	$(PYTHON) -m pytest -s -o timeout=14400 tests/soak $(ARGS)

bench: setup
	@bash docker/tools.sh espeak-ng
	$(PYTHON) -m tests.bench $(ARGS)

bench-gpu: setup
	@bash docker/tools.sh espeak-ng
	$(PYTHON) -m tests.bench gpu $(ARGS)

lint: setup $(UI)/node_modules/.installed
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
	cd $(UI) && npm run --silent lint

$(UI)/node_modules/.installed: $(UI)/package.json $(UI)/package-lock.json
	@command -v npm >/dev/null || { echo "make lint needs npm to check the page. Install it: sudo apt-get install npm" >&2; exit 1; }
	cd $(UI) && npm ci --no-audit --no-fund
	touch $@

generate: setup
	$(PYTHON) -m tests.generate

types: setup
	$(VENV)/bin/mypy

# Exit status 1: a vulnerability is known; 3: the database did not answer, nothing was checked (make reports it as "Error 3").
audit: setup
	@$(PYTHON) -m tests.audit $(ARGS)
