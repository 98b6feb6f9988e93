# Everything a person types here; `make` alone lists it. CI runs .ci/run, which calls check and test.
# Another Python: make test PYTHON=python3.12 (the environment is made anew when it changes).

PYTHON ?= python3
VENV ?= .venv
ARGS ?=

export PIP_DISABLE_PIP_VERSION_CHECK = 1
PIP_INSTALL := $(VENV)/bin/python -m pip install --quiet
INSTALL_DEBIAN_PACKAGES := .ci/install-debian-packages.sh
say := @printf '==> %s\n'

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test check format bench soak oldest transparency clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile
	@echo "ARGS=... is handed to demo, test, bench, soak, oldest and transparency: make test ARGS='-k redis -x'"

demo: $(VENV)/.demo ## run the demo shop and print P99, bottleneck and cache hit rate
	@$(VENV)/bin/perfsdk demo $(ARGS)

test: $(VENV)/.dev ## run the tests; the servers they need are installed where that is allowed
	@$(INSTALL_DEBIAN_PACKAGES) < tests/debian-packages.txt || true
	@$(VENV)/bin/python tests/helm/fetch_helm.py || true
	@$(PIP_INSTALL) 'mysqlclient>=2.2' > /dev/null 2>&1 || \
		printf '==> mysqlclient cannot be built from its sources here\n'
	$(say) 'running the tests'
	@$(VENV)/bin/python -m pytest -n logical --maxprocesses 4 --dist loadfile $(ARGS)

check: $(VENV)/.dev ## lint, formatting, types, import direction, generated files
	$(say) 'ruff check'
	@$(VENV)/bin/ruff check
	$(say) 'ruff format --check'
	@$(VENV)/bin/ruff format --check
	$(say) 'mypy'
	@$(VENV)/bin/mypy
	$(say) 'lint-imports'
	@$(VENV)/bin/lint-imports --no-logo --cache-dir .import_linter_cache
	$(say) 'grafana.build --check'
	@$(VENV)/bin/python -m grafana.build --check
	$(say) 'helm/build.py --check'
	@$(VENV)/bin/python helm/build.py --check

format: $(VENV)/.dev ## rewrite the sources as ruff wants them
	@$(VENV)/bin/ruff check --fix
	@$(VENV)/bin/ruff format

bench: $(VENV)/.bench ## measure the cost beside other libraries (with wrk and Redis where they can be had)
	@printf '%s\n' 'wrk wrk' 'redis-server redis-server' 'memcached memcached' \
		'postgresql /usr/lib/postgresql' | $(INSTALL_DEBIAN_PACKAGES) || true
	$(say) 'running the benchmarks'
	@$(VENV)/bin/python -m tests.bench.run $(ARGS)

soak: $(VENV)/.dev ## five minutes of dying workers and killed exporters, a hundred thousand damaged files
	@PERFSDK_SOAK_SECONDS=300 PERFSDK_FUZZ_EXAMPLES=100000 $(VENV)/bin/python -m pytest -s \
		--timeout 3000 tests/e2e/test_soak.py tests/exporter/test_garbled_segments.py $(ARGS)

oldest: $(VENV)/.dev ## run the tests of FastAPI, Starlette and Django with the oldest supported versions
	@$(VENV)/bin/python -m tests.oldest.run $(ARGS)

transparency: $(VENV)/.dev ## run the own tests of other projects (starlette, asyncpg, ...) bare and measured: none may differ
	@$(VENV)/bin/python -m tests.transparency.run $(ARGS)

clean: ## remove the environment, caches and built files
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment grows in steps, so that the first demo waits for nothing it does not need.
# Each stamp is touched last: what was interrupted is done again.

$(VENV)/.made-with-$(notdir $(PYTHON)):
	$(say) 'making $(VENV) with $(PYTHON)'
	@.ci/make-venv.sh '$(PYTHON)' '$(VENV)'
	@$(PIP_INSTALL) 'pip>=25.1' # the first that knows --group; faster than the one of Debian 12
	@touch $@

$(VENV)/.demo: pyproject.toml $(VENV)/.made-with-$(notdir $(PYTHON))
	$(say) 'installing perfsdk and what the demo needs into $(VENV)'
	@$(PIP_INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/.demo
	$(say) 'installing what tests and checks need into $(VENV)'
	@$(PIP_INSTALL) --editable '.[exporter,demo]' --group dev
	@touch $@

$(VENV)/.bench: pyproject.toml $(VENV)/.dev
	$(say) 'installing the libraries to compare with into $(VENV)'
	@$(PIP_INSTALL) --editable '.[exporter,demo]' --group dev --group bench
	@touch $@
