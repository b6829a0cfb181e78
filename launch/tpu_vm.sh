#!/usr/bin/env bash
# Runs genjax on a Cloud TPU slice: the same command as on one machine, on every host of it.
#
#   launch/tpu_vm.sh [options] COMMAND [genjax's arguments]
#
#   create    makes the slice
#   setup     sends the last commit of this checkout to every host and installs it there
#   run       starts `genjax train ARGUMENTS` on every host, in the background; a log on each (~/genjax-run/train.log)
#   log       shows the end of every host's log
#   watch     waits for the end of the run; a slice that was preempted is made again and the run goes on
#   fetch     copies the workdir of ARGUMENTS to this machine
#   delete    deletes the slice
#   all       create, setup, run, watch, fetch and, if all went well, delete
#
#   --name NAME         of the slice                          (TPU_NAME)
#   --zone ZONE         such as us-central2-b                 (TPU_ZONE)
#   --project PROJECT   of the bill; else gcloud's own        (TPU_PROJECT)
#   --type TYPE         v3-8, v3-32, v4-32, v5litepod-8 ...   (TPU_TYPE; v3-8)
#   --runtime VERSION   software of the hosts                 (TPU_RUNTIME; by the type)
#   --to DIR            where fetch puts the workdir          (runs/ and the workdir's own name)
#   --spot              cheaper, may be preempted
#   --dry-run           prints the commands and runs nothing
#
#   launch/tpu_vm.sh --name digits --zone europe-west4-a --type v3-8 all \
#     --config winn_digits --workdir gs://bucket/digits --config.train.steps=5000
#
# Several hosts need a workdir that all of them see: gs://. It also outlives a preempted slice.
set -euo pipefail

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
name="${TPU_NAME:-}"
zone="${TPU_ZONE:-}"
project="${TPU_PROJECT:-}"
type="${TPU_TYPE:-v3-8}"
runtime="${TPU_RUNTIME:-}"
poll_seconds="${TPU_POLL_SECONDS:-60}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
to=""
spot=""
dry_run=""

fail() {
  echo "launch/tpu_vm.sh: $1" >&2
  exit 2
}

say() {
  echo "launch/tpu_vm.sh: $1" >&2
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

# tpu VERB ARGUMENTS...: gcloud's own command for this slice.
tpu() {
  run gcloud compute tpus tpu-vm "$@" --zone "$zone" ${project:+--project "$project"}
}

on_every_host() {
  tpu ssh "$name" --worker=all --command "$1"
}

default_runtime() {
  case "$type" in
    v2-* | v3-* | v4-*) echo tpu-ubuntu2204-base ;;
    v5litepod-*) echo v2-alpha-tpuv5-lite ;;
    v5p-*) echo v2-alpha-tpuv5 ;;
    v6e-*) echo v2-alpha-tpuv6e ;;
    *) fail "no runtime is known for the type '$type'; pass --runtime VERSION or set TPU_RUNTIME" ;;
  esac
}

has_several_hosts() {
  local size="${type##*-}"
  [[ "$size" =~ ^[0-9]+$ ]] && [ "$size" -gt 8 ]
}

# The value of --workdir among genjax's arguments.
workdir_of() {
  local found="" next=""
  local argument
  for argument in "$@"; do
    if [ -n "$next" ]; then
      found="$argument"
      next=""
      continue
    fi
    case "$argument" in
      --workdir) next=yes ;;
      --workdir=*) found="${argument#--workdir=}" ;;
    esac
  done
  echo "$found"
}

check_workdir() {
  local workdir
  workdir="$(workdir_of "$@")"
  [ -n "$workdir" ] || fail "no workdir; pass --workdir gs://BUCKET/DIR after the command"
  case "$workdir" in
    gs://*) ;;
    *)
      if has_several_hosts; then
        fail "a $type has several hosts and they do not share $workdir; pass --workdir gs://BUCKET/DIR"
      fi
      ;;
  esac
}

create() {
  tpu create "$name" --accelerator-type "$type" --version "$runtime" ${spot:+--spot}
}

setup() {
  local archive="$scratch/genjax.tar.gz"
  if [ -z "$dry_run" ] && ! git -C "$root" rev-parse --quiet --verify HEAD > /dev/null 2>&1; then
    fail "$root is no git checkout, and setup sends the last commit; clone genjax with git"
  fi
  if ! git -C "$root" diff --quiet HEAD 2> /dev/null; then
    say "what is not committed is not sent"
  fi
  run git -C "$root" archive --format=tar.gz --output "$archive" HEAD \
    && tpu scp "$archive" "$name:genjax.tar.gz" --worker=all \
    && on_every_host "$(setup_script)"
}

# uv brings its own Python: the hosts' is older than 3.11.
setup_script() {
  cat << 'END'
set -e
rm -rf ~/genjax && mkdir -p ~/genjax ~/genjax-run
tar -xzf ~/genjax.tar.gz -C ~/genjax
command -v uv > /dev/null || [ -x ~/.local/bin/uv ] || python3 -m pip install --quiet --user uv
export PATH="$HOME/.local/bin:$PATH"
[ -x ~/genjax-venv/bin/python ] || uv venv --quiet --python 3.12 ~/genjax-venv
uv pip install --quiet --python ~/genjax-venv/bin/python "$HOME/genjax[tpu]"
echo "genjax is installed on $(hostname)"
END
}

start() {
  check_workdir "$@"
  local script
  script="$(host_script "$@")"
  on_every_host "set -e
if [ -e ~/genjax-run/pid ] && kill -0 \"\$(cat ~/genjax-run/pid)\" 2> /dev/null; then
  echo \"a run is going on on \$(hostname); see: launch/tpu_vm.sh log\" >&2
  exit 3
fi
rm -f ~/genjax-run/exit
printf '%s\n' $(printf '%q' "$script") > ~/genjax-run/run.sh
nohup setsid bash ~/genjax-run/run.sh >> ~/genjax-run/train.log 2>&1 < /dev/null &
echo \"started on \$(hostname); log in ~/genjax-run/train.log\""
}

# What every host runs: SIGTERM (143: maintenance), a kill (137) and a lost peer (134) are no reason to give up.
host_script() {
  cat << END
echo "\$\$" > ~/genjax-run/pid
cd ~/genjax
export JAX_PLATFORMS=tpu,cpu$(has_several_hosts && echo ' GENJAX_SEVERAL_HOSTS=1')
for attempt in \$(seq 20); do
  code=0
  ~/genjax-venv/bin/genjax train$(printf ' %q' "$@") || code=\$?
  case "\$code" in 134 | 137 | 143) ;; *) break ;; esac
  echo "attempt \$attempt was stopped from outside (exit code \$code): starting again in 30 s"
  sleep 30
done
rm -f ~/genjax-run/pid
echo "\$code" > ~/genjax-run/exit
END
}

show_log() {
  on_every_host 'hostname; tail -n 40 ~/genjax-run/train.log'
}

# Until the run has ended on the first host. A preempted slice is deleted, made again, and the run started again.
watch() {
  local state code preempted=""
  while true; do
    state="$(tpu describe "$name" --format='value(state)' || echo UNREACHABLE)"
    if [ -n "$dry_run" ]; then
      echo "$state"
      ended_with
      return
    fi
    case "$state" in
      PREEMPTED | TERMINATED)
        say "$name was preempted ($state): it is made again, and the run goes on from its last checkpoint"
        preempted=yes
        delete || true
        ;;
      READY)
        code="$(ended_with)"
        if [ -n "$code" ]; then
          say "the run ended with exit code $code"
          return "$code"
        fi
        ;;
      UNREACHABLE) [ -n "$preempted" ] || say "gcloud cannot tell the state of $name; asking again" ;;
    esac
    if [ -n "$preempted" ]; then
      if create && setup && start "$@"; then
        preempted=""
      else
        say "$name could not be made again yet; trying again in $poll_seconds s"
        delete || true
      fi
    fi
    sleep "$poll_seconds"
  done
}

# The run's exit code on the first host, or nothing while it goes on.
ended_with() {
  local said
  said="$(tpu ssh "$name" --worker=0 --command 'cat ~/genjax-run/exit 2> /dev/null || true' || true)"
  if [ -n "$dry_run" ]; then
    echo "$said"
  else
    grep -E '^[0-9]+$' <<< "$said" | tail -n 1 || true
  fi
}

fetch() {
  local workdir
  workdir="$(workdir_of "$@")"
  [ -n "$workdir" ] || fail "no workdir; pass the run's own --workdir DIR after the command"
  workdir="${workdir%/}"
  local target="${to:-runs/$(basename "$workdir")}"
  run mkdir -p "$target"
  case "$workdir" in
    gs://*) run gcloud storage rsync --recursive "$workdir" "$target" ${project:+--project "$project"} ;;
    /*) tpu scp --recurse --worker=0 "$name:$workdir/*" "$target" ;;
    *) tpu scp --recurse --worker=0 "$name:genjax/$workdir/*" "$target" ;;
  esac
}

delete() {
  tpu delete "$name" --quiet
}

all() {
  check_workdir "$@"
  create
  setup
  start "$@"
  local code=0
  watch "$@" || code=$?
  if [ "$code" -ne 0 ]; then
    say "the slice is kept and costs money; see its log, then: launch/tpu_vm.sh --name $name --zone $zone delete"
    exit "$code"
  fi
  fetch "$@"
  delete
}

while [ $# -gt 0 ]; do
  case "$1" in
    --name | --zone | --project | --type | --runtime | --to)
      [ $# -gt 1 ] || fail "$1 needs a value"
      printf -v "${1#--}" '%s' "$2"
      shift 2
      ;;
    --name=* | --zone=* | --project=* | --type=* | --runtime=* | --to=*)
      option="${1%%=*}"
      printf -v "${option#--}" '%s' "${1#*=}"
      shift
      ;;
    --spot)
      spot=yes
      shift
      ;;
    --dry-run)
      dry_run=yes
      shift
      ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
      exit 0
      ;;
    *) break ;;
  esac
done

command="${1:-}"
[ $# -eq 0 ] || shift
case "$command" in
  create | setup | run | log | watch | fetch | delete | all) ;;
  "") fail "no command; use create, setup, run, log, watch, fetch, delete or all (see --help)" ;;
  -*) fail "there is no option '$command'; genjax's own arguments come after the command (see --help)" ;;
  *) fail "there is no command '$command'; use create, setup, run, log, watch, fetch, delete or all" ;;
esac
[ -n "$name" ] || fail "no name; pass --name NAME or set TPU_NAME"
[ -n "$zone" ] || fail "no zone; pass --zone ZONE or set TPU_ZONE"
runtime="${runtime:-$(default_runtime)}"
if [ -z "$dry_run" ] && ! command -v gcloud > /dev/null; then
  fail "gcloud is not installed; see https://cloud.google.com/sdk/docs/install"
fi
case "$command" in
  run) start "$@" ;;
  log) show_log ;;
  *) "$command" "$@" ;;
esac
