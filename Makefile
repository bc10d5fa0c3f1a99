# make demo   installs into .venv what a user needs, and tests a claim about a network that ships with the package
# make test   installs what a developer needs as well, and runs the tests
# An interpreter other than python3: make test PYTHON=python3.12. Further extras: make test EXTRAS=dev,lm

PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable

.PHONY: demo test

demo: .venv/.installed
	$(BIN)/causalmi run hypotheses/balanced_brackets.py

# One thread per worker: the networks are small, and the workers share the cores.
test: .venv/.installed-$(EXTRAS)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4

$(BIN)/pip:
	$(PYTHON) -m venv .venv

.venv/.installed: $(BIN)/pip pyproject.toml constraints.txt
	@echo "Installing causalmi into .venv (PyTorch is large: minutes the first time)"
	$(INSTALL) .
	@touch $@

.venv/.installed-$(EXTRAS): $(BIN)/pip pyproject.toml constraints.txt
	@echo "Installing causalmi[$(EXTRAS)] into .venv (PyTorch is large: minutes the first time)"
	$(INSTALL) ".[$(EXTRAS)]"
	@touch $@ .venv/.installed
