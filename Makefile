# `make test` needs nothing but Debian or Ubuntu with Python 3.11 or 3.12.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
LOCK := docker/lock/cpu.txt

.PHONY: setup test lint types

setup: $(VENV)/.installed
	@bash docker/tools.sh

$(VENV)/.installed: $(LOCK) docker/install.sh
	bash docker/install.sh "$(VENV)" "$(LOCK)"
	touch $@

test: setup
	$(PYTHON) -m pytest $(ARGS)

lint: setup
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

types: setup
	$(VENV)/bin/mypy
