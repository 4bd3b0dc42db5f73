#!/usr/bin/env bash
# Builds all runtimes' binaries and compares them: run.sh [--quick] [--realtime] [--rows GLOB] [--passes N]
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --bins
exec cargo run --quiet --release --bin report -- "$@"
