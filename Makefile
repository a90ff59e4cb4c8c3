# Two commands do everything on a fresh machine with Python >= 3.10: `make demo` and `make test`.
# `make test-full` adds what is slow or large: Stable Diffusion 2.1 at its full size, with random weights.
# `make weights` trains SG-Mini and its adapters from nothing: a day on two CPU cores, going on wherever it was stopped.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test test-full bench weights check clean

demo: $(VENV)/train.installed
	$(RUN) train/demo.py

test: $(VENV)/dev.installed
	$(RUN) -m pytest

test-full: $(VENV)/dev.installed
	$(RUN) -m pytest -m slow

bench: $(VENV)/dev.installed
	$(RUN) benchmarks/run.py

weights: $(VENV)/train.installed
	$(RUN) train/make_weights.py

check: $(VENV)/dev.installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright --pythonpath $(RUN)

clean:
	rm -rf $(VENV)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable ".[train]"
	touch $@

$(VENV)/dev.installed: pyproject.toml | $(VENV)/bin/python
	$(RUN) -m pip install --quiet --editable ".[train,dev]"
	touch $@ $(VENV)/train.installed
