# Two commands do everything on a fresh machine with Python 3.11 to 3.13:
#   make demo    installs into .venv and makes a small audiobook in demo/out
#   make test    installs into .venv and runs every check

PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11; do \
	$$name -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	2>/dev/null && echo $$name && break; done)
BIN := .venv/bin

.PHONY: demo test format

demo: .venv/.installed
	$(BIN)/voxloom audiobook demo/book.epub --voice demo/voice.flac --out demo/out

test: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadfile

format: .venv/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Installing again is needed only when one of these files changes. uv is quicker than pip; where it
# can't be had or can't reach the package index, pip does the same.
.venv/.installed .venv/.installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || true
	extras=$(if $(findstring dev,$@),[dev]); \
	$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e ".$$extras" \
	|| $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e ".$$extras"
	touch $@

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; none is on the PATH." >&2; exit 1; }
	$(PYTHON) -m venv .venv
