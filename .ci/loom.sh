#!/usr/bin/env bash
# Every interleaving of the cross-core models, up to three preemptions. Arguments go to the tests: .ci/loom.sh oneshot
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Optimized, for the models are searched exhaustively; with assertions, for they are what is searched for; without LTO,
# which would take longer than it saves. A target folder of its own keeps the flag from rebuilding everything else.
export RUSTFLAGS="--cfg loom ${RUSTFLAGS:-}"
export LOOM_MAX_PREEMPTIONS=${LOOM_MAX_PREEMPTIONS:-3}
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/loom"
export CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS=true CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16

models=$(cargo test --release --lib loom_ -- --list | grep -c ': test$' || true)
if [ "$models" -eq 0 ]; then
  echo "no loom model was found: they are tests whose path contains loom_, in src/" >&2
  exit 1
fi
timeout --foreground 20m cargo test --release --lib loom_ -- "$@"
