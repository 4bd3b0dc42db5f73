#!/usr/bin/env bash
# A mirror of two files under everything that can happen to it, for a minute, or for as many seconds as are given: .ci/endurance.sh 600
# Then `reactor perf` writes and reads back such a mirror while the member that errs falls out of it. CI runs the first, shorter, with all
# other tests; this is for a change of the block layer, and for a machine of one's own. TMPDIR says on which disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
export REACTOR_ENDURANCE_SECONDS=$seconds
timeout --foreground $((seconds + 600)) cargo test --release --all-features --test endurance -- --nocapture

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
truncate -s 64M "$folder/one" "$folder/other"
cargo run --quiet --release --all-features -- perf --rw verify --qd 32 --time 5 \
  "mirror(file:$folder/one,error:write=io_error,skip=20000(file:$folder/other))"
