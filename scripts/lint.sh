#!/usr/bin/env bash
# Formatting, lint, types and shell scripts. Changes nothing. (tests/unit/scripts checks the Compose file.)
#
# Usage: make lint
set -Eeuo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
# shellcheck disable=SC2046  # one argument a file
.venv/bin/shellcheck --external-sources $(git ls-files '*.sh') .ci/run
