#!/usr/bin/env bash
# Whether it compiles with the oldest Rust that README promises, for the library and for the tools, and for AArch64.
# What rustup cannot fetch is said and left out: the other steps need none of it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# A target folder of its own: another compiler would rebuild everything else.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/portable"
library=(--lib --features hyper,tokio-io,crypt,gpt,nvme,testing)
oldest=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
tools=1.88
arm=aarch64-unknown-linux-gnu

fetched() {
  "$@" >/dev/null 2>&1 || { echo "not checked, as this failed: $*"; return 1; }
}

if fetched rustup toolchain install "$oldest" --profile minimal; then
  cargo "+$oldest" check --locked "${library[@]}"
fi
if fetched rustup toolchain install "$tools" --profile minimal; then
  cargo "+$tools" check --locked --bins --all-features
fi
if fetched rustup target add "$arm"; then
  cargo check --locked --target "$arm" "${library[@]}"
fi
