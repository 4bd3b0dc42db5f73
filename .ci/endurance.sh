#!/usr/bin/env bash
# A mirror of two files under everything that can happen to it, for a minute, or for as many seconds as are given: .ci/endurance.sh 600
# First `reactor perf --rw verify` over one that errs, loses a member, is rebuilt and grows: every block is what was written, and in the
# end the files hold the same. Then the test of the same name, with more kinds of I/O and of trouble. CI runs shorter ones with all other
# tests; this is for a change of the block layer, and for a machine of one's own. TMPDIR says on which disk.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-60}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
one=$folder/one other=$folder/other
truncate -s 64M "$one" "$other"
part() { awk "BEGIN { print $seconds * $1 }"; }
cargo run --quiet --release --features cli -- perf --rw verify --qd 32 --time "$seconds" \
  --at "$(part 0.2):remove=file:$other" --at "$(part 0.4):return=file:$other" \
  --at "$(part 0.6):resize=file:$one,128M" --at "$(part 0.7):resize=file:$other,128M" \
  "mirror(file:$one,error:read=media,every=1000(file:$other))"
cmp "$one" "$other"

export REACTOR_ENDURANCE_SECONDS=$seconds
timeout --foreground $((seconds + 600)) cargo test --release --all-features --test endurance -- --nocapture
