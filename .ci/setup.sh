#!/usr/bin/env bash
# Installs what a fresh Debian with only Rust lacks, and nothing that is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v jq >/dev/null || packages+=(jq)
if [ ${#packages[@]} -gt 0 ]; then
  if [ "$(id -u)" -eq 0 ]; then
    as_root=()
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  else
    echo "missing: ${packages[*]}. Not root and no sudo without a password; install them and start again." >&2
    exit 1
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
fi

for tool in rustfmt clippy; do
  program=$tool
  [ "$tool" = clippy ] && program=cargo-clippy
  "$program" --version >/dev/null 2>&1 || rustup component add "$tool"
done

cargo fetch --locked
echo "$(rustc --version), $(nproc) cores, Linux $(uname -r)"
