#!/usr/bin/env bash
# What can be said without running anything: format, lints, documentation, licences.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo fmt --all --check
if [ -f benches/peers/Cargo.toml ]; then
  cargo fmt --manifest-path benches/peers/Cargo.toml --check
fi
cargo clippy --workspace --all-targets --all-features -- -D warnings
cargo clippy --lib --no-default-features -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --all-features
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --offline --all-features check licenses bans sources
else
  echo "cargo-deny is not installed: licences, bans and sources are not checked"
fi
