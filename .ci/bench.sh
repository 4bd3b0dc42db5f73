#!/usr/bin/env bash
# Whether the measurements run and report what they promise. A smoke test: the numbers of a busy machine mean nothing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if grep -q '^\[\[bench\]\]' Cargo.toml; then
  timeout --foreground 15m cargo bench --all-features -- --quick
fi

cargo build --release --features cli
reactor() {
  timeout --foreground 60 cargo run --quiet --release --features cli -- "$@"
}

# Runs `reactor $2…`, shows its report and holds it to the jq expression $1.
holds() {
  local expression=$1 report
  shift
  report=$(reactor "$@")
  printf '%s\n' "reactor $*" "$report"
  jq -e "$expression" >/dev/null <<<"$report" || { echo "reactor $*: not true: $expression" >&2; exit 1; }
}

# Whatever this process may run on: a container need not have core 0.
cores=$(awk '/^Cpus_allowed_list/ {print $2}' /proc/self/status)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
truncate -s 64M "$folder/disk"

events='.events_per_s > 0 and (.cores | length > 0 and all(.[]; (.core | type) == "number" and .events_per_s > 0))'
perf='(.jobs | length > 0 and all(.[]; .iops > 0 and .mib_per_s > 0 and .errors == 0
        and (.lat_us | .avg > 0 and .p50 <= .p99 and .p99 <= .p999 and .p999 <= .max)))
      and .total.iops > 0 and .total.errors == 0'

holds "$events" events --cores "$cores" --time 1 --json
holds "$perf" perf --time 1 --json
holds "$perf" perf "file:$folder/disk" --rw verify --bs 4k --qd 32 --time 1 --json
