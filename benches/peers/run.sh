#!/usr/bin/env bash
# Builds all runtimes' binaries and compares them: run.sh --help
set -euo pipefail
cd "$(dirname "$0")"

# Here, for what is built first takes minutes.
usage="usage: run.sh [--quick] [--realtime] [--rows GLOB] [--passes N]"
for arg in "$@"; do
  case $arg in
    -h | --help)
      cat <<EOF
$usage

Runs the same workloads on reactor and its peers, prints a table, and writes target/peers.jsonl and target/peers.svg.

  --quick      one pass of short rounds: for a look, not for a comparison
  --realtime   by \`chrt --rr\`, as root: ahead of whatever else the machine does
  --rows GLOB  only rows whose ids match, with their limits: --rows 'cross_*'; one that matches none lists them all
  --passes N   how often, 3 unless set; the table has the medians

README.md says how to read the table and what the rows do.
EOF
      exit
      ;;
    --quick | --realtime | --rows | --passes | [!-]*) ;;
    *)
      echo "unknown argument $arg"$'\n'"$usage" >&2
      exit 2
      ;;
  esac
done

cargo build --release --bins
exec cargo run --quiet --release --bin report -- "$@"
