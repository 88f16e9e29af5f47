# The verbs of development; CONTRIBUTING.md says when to use which.
PYTHON ?= python
# Folder that gets embedsvc/v1, and the environment of its generator.
OUT ?= .
GENERATOR ?= build/protos

.PHONY: install protos lint format types test slow

install:
	$(PYTHON) -m pip install --upgrade 'pip>=25.1'
	$(PYTHON) -m pip install --editable '.[test]' --group lint

protos: $(GENERATOR)/installed
	$(GENERATOR)/bin/python protos/generate.py --out $(OUT)

# Apart from the rest, because the generator needs an older protobuf than the tests get.
$(GENERATOR)/installed: pyproject.toml
	$(PYTHON) -m venv --clear $(GENERATOR)
	$(GENERATOR)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(GENERATOR)/bin/python -m pip install --quiet --group protos
	touch $@

lint:
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check

format:
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest

slow:
	$(PYTHON) -m pytest -n 0 -m slow
