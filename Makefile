# medrobust: `make demo` from a fresh clone ends with tables and the paths of pages.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH_OPTIONS ?=# such as --index-url URL of CPU wheels, on a Linux machine without a GPU

.PHONY: install demo test lint perf docs clean
.DEFAULT_GOAL := install

install: $(VENV)/installed

# torch first and pinned: later commands find it there and take no other build of it.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet torch -c constraints.txt $(TORCH_OPTIONS)
	$(BIN)/pip install --quiet -e '.[cluster,test,dev]' -c constraints.txt
	touch $@

demo: install
	@state=0; for suite in recon-fnaf-demo roi-demo seg-deform-demo mammo-tamper-demo cls-linf-demo; do \
		$(BIN)/medrobust run $$suite || state=$$?; \
		run=$$(ls -td runs/$$suite@* 2>/dev/null | head -n 1); \
		[ -z "$$run" ] || $(BIN)/medrobust leaderboard "$$run"; \
	done; printf '\nThe pages, to be opened in a browser:\n'; ls runs/*-demo@*/leaderboard/index.html; exit $$state

test: install
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -ra --durations=15 $(TESTS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Rivals without what they depend on, which would downgrade other packages, in a folder that nothing else looks into.
RIVALS := $(VENV)/rivals

$(RIVALS): $(VENV)/installed
	$(BIN)/pip install --quiet --no-deps --target $@ foolbox==3.3.4 eagerpy==0.30.0 gitpython==3.2.1 gitdb==4.0.12 smmap==5.0.3 torchattacks==3.5.1 || true

perf: install $(RIVALS)
	OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 PYTHONPATH=$(RIVALS) $(BIN)/python -m pytest benchmarks/perf --benchmark-enable --benchmark-only -s

# Everything that is made from the code or from committed rows; CI fails where it differs from what is committed.
docs: install
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .hypothesis .import_linter_cache
