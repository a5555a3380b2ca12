#!/usr/bin/env bash
# Unpacks packages of Debian unstable, with the libraries they need, into a folder of their own: the servers and
# rivals that the tests and benchmarks want are newer than a stable Debian has, and need a newer C library.
#
#   tests/unpack.sh FOLDER PACKAGE...
#
# Nothing is installed: no root, no chroot, no mount, no maintainer script. Programs of the folder run under the
# folder's own dynamic loader; `tests/unpack.sh --wrap FOLDER PROGRAM...` writes a wrapper for each into FOLDER/../bin.
# The mirror is the one in the machine's apt configuration. A folder appears when it is complete, so an attempt that
# was cut short is simply made again. Archives and apt's lists stay in FOLDER/../apt for the next folder.
set -euo pipefail

wrap() {
    local folder=$1 name program loader libraries own private
    shift
    mkdir -p "$folder/../bin"
    for name in "$@"; do
        own= private=
        program=usr/bin/$name
        [ -e "$folder/$program" ] || program=usr/sbin/$name
        loader=$(cd "$folder" && echo usr/lib/*/ld-linux-*.so.*)
        libraries=$(dirname "$loader")
        {
            printf '#!/bin/sh\n# %s of Debian unstable, with the libraries of that release.\n' "$name"
            printf 'root=$(cd "${0%%/*}/../%s" && pwd)\n' "$(basename "$folder")"
            case $name in
            mariadbd)
                # Unlike its relatives it does not find its own files from where it is. Options that name or
                # forbid option files have to stay the first.
                printf 'first=; case $1 in --no-defaults | --defaults-*) first=$1; shift ;; esac\n'
                own='${first:+"$first"} --basedir="$root/usr" --lc-messages-dir="$root/usr/share/mariadb" --plugin-dir="$root/usr/lib/mysql/plugin" '
                ;;
            # Its plugins need libraries of its own.
            mysqlrouter) private=':$root/usr/lib/mysql-router' ;;
            mariadb*) printf 'export MARIADB_PLUGIN_DIR="$root/%s/libmariadb3/plugin"\n' "$libraries" ;;
            esac
            printf 'exec "$root/%s" --inhibit-cache --library-path "$root/%s%s" --argv0 "$root/%s" "$root/%s" %s"$@"\n' \
                "$loader" "$libraries" "$private" "$program" "$program" "$own"
        } >"$folder/../bin/$name"
        chmod 755 "$folder/../bin/$name"
    done
}

if [ "$1" = --wrap ]; then
    shift
    wrap "$@"
    exit
fi

folder=$1
shift
work=$(dirname "$folder")/apt
mkdir -p "$work"/{lists/partial,archives/partial}
work=$(cd "$work" && pwd)
: >"$work/status"

mirror=$(apt-get indextargets --format '$(REPO_URI)|$(LABEL)' 'Created-By: Packages' | sed -n 's/|Debian$//p' | head -n 1)
[ -n "$mirror" ] || { echo "tests/unpack.sh: apt knows no Debian mirror (has apt-get update been run?)" >&2; exit 1; }
echo "deb $mirror sid main" >"$work/sources.list"

# An apt of its own: the machine's lists, packages and caches play no part. A mirror may lag behind what its
# index says of its own age.
options=(
    -qq
    -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o Dir::State="$work" -o Dir::State::status="$work/status" -o Dir::Cache="$work"
    -o APT::Sandbox::User="$(id -un)" -o APT::Install-Recommends=false
    -o Acquire::Check-Valid-Until=false -o Acquire::Languages=none
    -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
)
apt-get "${options[@]}" update

# Of the dependencies only libraries matter; the others serve maintainer scripts, which do not run.
wanted=$(apt-get "${options[@]}" install --simulate "$@" | awk '$1 == "Inst" {print $2}')
packages=()
for package in $wanted; do
    case " $* $package" in
    *" $package "*) packages+=("$package") ;;
    *" libperl"* | *" "lib*-perl) ;;
    *" "lib* | *" "openssl-provider-*) packages+=("$package") ;;
    esac
done
(cd "$work/archives" && apt-get "${options[@]}" download "${packages[@]}")

rm -rf "$folder.new" "$folder"
mkdir -p "$folder.new"
for package in "${packages[@]}"; do
    archive=$(ls -t "$work/archives/${package}"_*.deb | head -n 1)
    dpkg-deb --fsys-tarfile "$archive" | tar -x -C "$folder.new" --no-same-owner --exclude='./usr/share/doc' --exclude='./usr/share/man'
done
mv "$folder.new" "$folder"
