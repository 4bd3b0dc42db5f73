#!/usr/bin/env bash
# Builds every example and runs it: each must end by itself and with exit code 0. Those that serve are also asked by other programs,
# as many as are there, and interrupted. Some of them: .ci/examples.sh hello
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
folder=$(mktemp -d)
server=
trap 'rm -rf "$folder"; [ -z "$server" ] || kill "$server" 2>/dev/null || true' EXIT

failed() {
  echo "example $*" >&2
  cat "$folder"/* >&2
  exit 1
}

# Starts the server $1 on a port that is free, has the function $2 ask at its address, and interrupts it: it must end in order.
serve() {
  local name=$1 ask=$2 address='' status=0 tries
  "${CARGO_TARGET_DIR:-target}/debug/examples/$name" 127.0.0.1:0 >"$folder/said" 2>&1 </dev/null &
  server=$!
  for ((tries = 0; tries < 100; tries++)); do
    address=$(sed -nE 's|^listening on (https?://)?([0-9.]+:[0-9]+).*|\2|p' "$folder/said")
    [ -z "$address" ] || break
    sleep 0.1
  done
  [ -n "$address" ] || failed "$name: says no address"
  "$ask" "$address" >"$folder/answer" || failed "$name: \`$ask\` is not answered"
  kill -TERM "$server"
  wait "$server" || status=$?
  server=
  [ "$status" -eq 0 ] || failed "$name: exit code $status when it is interrupted"
  echo "--- example $name: answers $ask"
}

# The shell itself speaks to echo; what is sent comes back, all of it and in order.
shell() {
  exec 3<>"/dev/tcp/${1%:*}/${1#*:}"
  seq 20000 >&3 &
  head -c "$(seq 20000 | wc -c)" <&3 | cmp - <(seq 20000)
}
curl() { [ "$(command curl --silent --show-error --max-time 20 "http://$1/")" = "hello world" ]; }
curl_tls() { [ "$(command curl --silent --show-error --max-time 20 --insecure "https://$1/")" = "hello world" ]; }
wrk() {
  command wrk -t1 -c64 -d1 "http://$1/" | tee "$folder/wrk"
  grep -q 'Requests/sec' "$folder/wrk" && ! grep -qE 'Socket errors|Non-2xx' "$folder/wrk"
}

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
  case $name in
    echo) serve echo shell ;;
    http_server)
      if type -P curl >/dev/null; then serve http_server curl; fi
      if type -P wrk >/dev/null; then serve http_server wrk; fi
      ;;
    https_server) if type -P curl >/dev/null; then serve https_server curl_tls; fi ;;
  esac
done
