#!/usr/bin/env bash
# All tests, by the command of the README: units, documentation examples, structure, programs that must not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# The limit is for a test that hangs: all of them take a fraction of it.
timeout --foreground 20m cargo test --workspace --all-features
