#!/usr/bin/env bash
# Installs what a fresh Debian with only Rust lacks, and nothing that is there already.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Installs packages, taking nothing away for it.
install() {
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
      echo "missing: $*. Not root and no sudo without a password; install them and start again." >&2
      return 1
    fi
    as_root=(sudo -n)
  fi
  "${as_root[@]}" apt-get update -q
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -q -y --no-install-recommends --no-remove "$@"
}

packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
command -v jq >/dev/null || packages+=(jq)
[ ${#packages[@]} -eq 0 ] || install "${packages[@]}"

# What tests/guest/run takes (20 MB, and a kernel of 34 MB on its first run), and who else asks the examples that serve.
packages=()
command -v qemu-system-x86_64 >/dev/null || packages+=(qemu-system-x86)
command -v busybox >/dev/null || packages+=(busybox-static)
command -v depmod >/dev/null || packages+=(kmod)
command -v xz >/dev/null || packages+=(xz-utils)
# Modules for that kernel are built by them (170 MB more).
command -v make >/dev/null || packages+=(make)
command -v x86_64-linux-gnu-gcc-12 >/dev/null || packages+=(gcc-12)
# Whom `reactor nvme` is held against. It stands where only root looks.
PATH=$PATH:/usr/sbin command -v nvme >/dev/null || packages+=(nvme-cli)
for tool in cpio zstd curl wrk; do command -v "$tool" >/dev/null || packages+=("$tool"); done
if [ ${#packages[@]} -gt 0 ]; then
  install "${packages[@]}" || echo "tests/guest.rs and .ci/examples.sh will skip what takes: ${packages[*]}"
fi

for tool in rustfmt clippy; do
  program=$tool
  [ "$tool" = clippy ] && program=cargo-clippy
  "$program" --version >/dev/null 2>&1 || rustup component add "$tool"
done

cargo fetch --locked
echo "$(rustc --version), $(nproc) cores, Linux $(uname -r)"
