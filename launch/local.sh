#!/usr/bin/env bash
# Runs genjax on this machine; the first time it makes a virtual environment with what the accelerator here needs.
#
#   launch/local.sh --config winn_digits --workdir runs/digits
#   launch/local.sh sample --workdir runs/digits          # any command of genjax; train if none is named
#   launch/local.sh --dry-run --config winn_digits --workdir runs/digits
#
# Environment: GENJAX_VENV (the virtual environment; else the active one, else .venv in the checkout),
#              GENJAX_PYTHON (what makes it; else the newest of python3.11 to python3.14 and python3),
#              GENJAX_ACCELERATOR (cpu, cuda or tpu; else what is found).
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${GENJAX_VENV:-${VIRTUAL_ENV:-$root/.venv}}"
dry_run=""

fail() {
  echo "launch/local.sh: $1" >&2
  exit 2
}

# Prints the command with --dry-run, else runs it.
run() {
  if [ -n "$dry_run" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}

accelerator() {
  if [ -n "${GENJAX_ACCELERATOR:-}" ]; then
    echo "$GENJAX_ACCELERATOR"
  elif [ -e /dev/accel0 ] || [ -e /dev/vfio/0 ]; then
    echo tpu
  elif command -v nvidia-smi > /dev/null && nvidia-smi -L > /dev/null 2>&1; then
    echo cuda
  else
    echo cpu
  fi
}

python_to_use() {
  local python
  for python in ${GENJAX_PYTHON:+"$GENJAX_PYTHON"} python3.14 python3.13 python3.12 python3.11 python3; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
      echo "$python"
      return
    fi
  done
  fail "no Python 3.11 or newer found; install one, or name it with GENJAX_PYTHON=/path/to/python"
}

# Whether genjax is there and jax can use the accelerator.
is_ready() {
  [ -x "$venv/bin/genjax" ] || return 1
  case "$1" in
    cpu) ;;
    cuda) "$venv/bin/python" -c 'import importlib.util as u, sys
sys.exit(not any(u.find_spec(f"jax_cuda{n}_plugin") for n in (12, 13)))' ;;
    tpu) "$venv/bin/python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("libtpu"))' ;;
  esac
}

if [ "${1:-}" = "--dry-run" ]; then
  dry_run=yes
  shift
fi
case "${1:-}" in
  -h | --help)
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
    ;;
  "") fail "nothing to do; try: launch/local.sh --config winn_digits --workdir runs/digits" ;;
  train | sample | evaluate | encode | bench | study | objectives | convert) ;;
  *) set -- train "$@" ;;
esac

kind="$(accelerator)"
case "$kind" in
  cpu) extra="" ;;
  cuda | tpu) extra="[$kind]" ;;
  *) fail "GENJAX_ACCELERATOR is '$kind'; use cpu, cuda or tpu" ;;
esac
if ! is_ready "$kind"; then
  echo "launch/local.sh: installing genjax for $kind in $venv" >&2
  if [ ! -x "$venv/bin/python" ]; then
    python="$(python_to_use)"
    run "$python" -m venv "$venv"
  fi
  run "$venv/bin/python" -m pip install --quiet --editable "$root$extra"
fi
run exec "$venv/bin/genjax" "$@"
