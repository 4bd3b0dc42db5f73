#!/usr/bin/env bash
# Builds every example and runs it: each must end by itself and with exit code 0. Some of them: .ci/examples.sh hello
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  shopt -s nullglob
  for file in examples/*.rs examples/*/main.rs; do
    name=${file#examples/}
    name=${name%/main.rs}
    names+=("${name%.rs}")
  done
fi

cargo build --examples --all-features
for name in "${names[@]}"; do
  # Servers serve until they are interrupted, unless they are only to be tried.
  arguments=()
  if [[ $name == *_server ]]; then arguments=(-- --try); fi
  since=$SECONDS
  status=0
  timeout --foreground 60 cargo run --quiet --all-features --example "$name" "${arguments[@]}" </dev/null || status=$?
  if [ "$status" -eq 124 ]; then
    echo "example $name: still running after 60 s" >&2
    exit 1
  elif [ "$status" -ne 0 ]; then
    echo "example $name: exit code $status" >&2
    exit 1
  fi
  echo "--- example $name: ok, $((SECONDS - since)) s"
done
