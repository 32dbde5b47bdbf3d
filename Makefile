# Needs Python 3.10, 3.11 or 3.12 and make; everything else is installed from locks into virtual environments in here.
#
#   make demo        fine-tune the embedded model on drawn shapes: mAP before and after, a picture, a servable model
#   make test        everything CI checks on the primary stack: lint, types, unit, golden and acceptance tests
#   make smoke       the package on the newest TensorFlow that it admits, in an environment of its own
#   make lint | unit | golden | acceptance     one part of `make test`
#   make bench       the speed and memory figures of the README
#   make lock        resolve requirements/*.in again (needs uv)
#   make clean       remove what building and testing left; environments stay
#
# PYTHON=/path/to/python3.11 chooses the interpreter that environments are made with.

SHELL := /bin/sh
PYTEST := .venv/bin/python -m pytest --durations=12 --durations-min=5
LOCK := uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo test lint unit golden acceptance smoke bench lock clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^PYTHON=/q'

demo: .venv/installed.lock
	.venv/bin/python -m tfod_transfer.demo

test: lint unit golden acceptance

lint: .venv/installed.lock
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# Two workers: more would each load TensorFlow again.
unit: .venv/installed.lock
	$(PYTEST) -m "not golden and not acceptance" -n 2 --dist loadfile

golden: .venv/installed.lock
	$(PYTEST) -m golden -n 2 --dist loadgroup

acceptance: .venv/installed.lock toolkit
	$(PYTEST) -m acceptance -n 2 --dist loadfile

smoke: .venv-newest/installed.lock
	.venv-newest/bin/python tests/smoke/newest_stack.py

bench: .venv/installed.lock
	@set -e; for file in benchmarks/*.py; do echo "== $$file"; .venv/bin/python "$$file"; done

lock:
	@command -v uv >/dev/null || { echo "error: make lock needs uv: pip install uv" >&2; exit 2; }
	$(LOCK) --overrides requirements/primary.overrides requirements/primary.in -o requirements/primary.lock
	$(LOCK) requirements/newest.in -o requirements/newest.lock
	$(LOCK) requirements/sagemaker_toolkit.in -o requirements/sagemaker_toolkit.lock
	$(LOCK) --no-deps requirements/bundle.in -o tfod_transfer/sagemaker/libraries.lock

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo_output
	find tfod_transfer tests benchmarks scripts -name __pycache__ -exec rm -rf {} +

# --- Environments -----------------------------------------------------------------------------------------------------

# SageMaker's toolkit has a part in C; its tests are skipped where no compiler is.
.PHONY: toolkit
toolkit:
	@if command -v cc >/dev/null; then $(MAKE) --no-print-directory .venv-toolkit/installed.lock; \
	else echo "note: no C compiler, so the tests under SageMaker's training toolkit are skipped"; fi

.venv/installed.lock: requirements/primary.lock setup.py
	$(call fill,.venv,$<)
	$(call install_package,.venv,$<)

.venv-newest/installed.lock: requirements/newest.lock setup.py
	$(call fill,.venv-newest,$<)
	$(call install_package,.venv-newest,$<)

.venv-toolkit/installed.lock: requirements/sagemaker_toolkit.lock
	$(call fill,.venv-toolkit,$<)

# $(call fill,FOLDER,LOCK) makes the environment FOLDER with exactly what LOCK lists. FOLDER/installed.lock, a copy of the
# lock, is written last: an environment whose making was interrupted, or whose lock has changed since, is made anew.
# --no-deps because a lock is complete.
define fill
@set -e; \
if cmp -s $(2) $(1)/installed.lock; then touch $(1)/installed.lock; exit 0; fi; \
$(find_python); \
echo "Making $(1) from $(2) with $$($$python --version); this takes some minutes"; \
rm -f $(1)/installed.lock; \
$$python -m venv --clear $(1); \
$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $(2); \
cp $(2) $(1)/installed.lock
endef

# The package itself, in place; its dependencies are the lock's.
define install_package
@$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . \
  || { rm -f $(1)/installed.lock; exit 1; }
endef

define find_python
python=; found=; \
for candidate in $(or $(PYTHON),python3 python3.12 python3.11 python3.10); do \
  if $$candidate -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null; \
  then python=$$candidate; break; fi; \
  found="$$found; $$candidate: $$( ($$candidate --version 2>&1 || echo missing) | tail -n 1)"; \
done; \
if [ -z "$$python" ]; then \
  echo "error: expected Python 3.10, 3.11 or 3.12, found$${found#;}." \
       "Install one of them or name it: make PYTHON=/path/to/python3.11" >&2; \
  exit 2; \
fi
endef
