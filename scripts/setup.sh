#!/usr/bin/env bash
# Makes a machine ready to build and test: installs the Debian packages that are missing (asking apt only then),
# switches FUSE-over-io_uring on where it may, and opens /dev/fuse to users.
#   scripts/setup.sh [--build-only] [--peers] [PACKAGE...]
#     --build-only  without the packages that only lint and tests use
#     --peers       also the toolchains of the libraries that the benchmarks compare with
#     PACKAGE       also this package
set -euo pipefail

build_packages=(gcc libc6-dev cmake ninja-build pkg-config liburing-dev libluajit-5.1-dev luajit
  liblmdb-dev fuse3)
test_packages=(clang clang-format clang-tidy lua-busted lua-check libfuse3-dev fio rsync sqlite3
  git attr acl python3 e2fsprogs postgresql man-db groff-base zsh fish luarocks dpkg-dev file)

packages=("${build_packages[@]}" "${test_packages[@]}")
for argument in "$@"; do
  case $argument in
    --build-only) packages=("${build_packages[@]}") ;;
    --peers)
      packages+=(libfuse3-dev python3-dev python3-venv)
      command -v cargo >/dev/null || packages+=(cargo)
      command -v go >/dev/null || packages+=(golang-go)
      ;;
    -*)
      echo "setup: unknown option $argument; there are --build-only and --peers" >&2
      exit 2
      ;;
    *) packages+=("$argument") ;;
  esac
done

# Runs a command as root: directly, or through sudo, which asks for a password only at a terminal.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    if [ -t 0 ]; then sudo "$@"; else sudo -n "$@" 2>/dev/null; fi
  else
    return 1
  fi
}

missing_packages() {
  local package
  for package in "${packages[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

install_missing() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup: no apt here; install what these Debian packages hold: ${packages[*]}"
    return
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ "${#missing[@]}" -gt 0 ] || return 0
  echo "setup: installing ${missing[*]}"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300)
  if ! { as_root "${apt[@]}" update && as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } >/dev/null; then
    echo "setup: could not install them; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
}

switch_uring_on() {
  local switch=/sys/module/fuse/parameters/enable_uring
  [ -d /sys/module/fuse ] || as_root modprobe fuse 2>/dev/null || true
  if [ ! -e "$switch" ]; then
    echo "setup: kernel $(uname -r) has no FUSE-over-io_uring (it came with Linux 6.14); mounts use the classic transport"
  elif [ "$(cat "$switch")" = Y ]; then
    return
  elif as_root sh -c "echo Y > $switch" 2>/dev/null; then
    echo "setup: switched FUSE-over-io_uring on ($switch)"
  else
    echo "setup: FUSE-over-io_uring is off, so mounts use the classic transport; to switch it on, as root: echo Y > $switch"
  fi
}

# Users mount through a device that udev opens to all; a container without udev keeps it to root.
open_device() {
  local device=/dev/fuse mode
  mode=$(stat -c %a "$device" 2>/dev/null) || return 0
  if [ $((0$mode & 0006)) -ne 6 ] && as_root chmod 666 "$device" 2>/dev/null; then
    echo "setup: $device had mode $mode; now users other than root may mount too, as with udev's mode 666"
  fi
}

install_missing
open_device
switch_uring_on
