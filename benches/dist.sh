#!/usr/bin/env bash
# Builds Sluice as it is to be packaged: profile `dist`, and laid out by what it does under load (profile-guided
# optimisation, https://doc.rust-lang.org/rustc/profile-guided-optimization.html).
#
#   benches/dist.sh [ARGUMENTS OF CARGO BUILD]
#
# Builds once with counters, plays benches/train.py, builds again with what was counted. The program is then
# target/pgo/sluice. Takes two release builds and a minute. Needs llvm-profdata of the LLVM that rustc has: from the
# PATH, or from Debian unstable's packages, which are unpacked into target/test-env (see tests/unpack.sh).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
work=$target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

# The program that sums counters up, of this LLVM or a newer one.
profdata() {
    local folder=$target/test-env/llvm
    command -v "llvm-profdata-$llvm" && return
    if [ ! -e "$folder" ]; then
        echo "  dist: llvm-$llvm, from Debian unstable" >&2
        tests/unpack.sh "$folder" "llvm-$llvm" >&2
        tests/unpack.sh --wrap "$folder" "llvm-profdata-$llvm" >&2
    fi
    echo "$target/test-env/bin/llvm-profdata-$llvm"
}

# Builds the program with the compiler's flags $1 into folder $2. With --target, build scripts go without the flags.
build() {
    local flags=$1 folder=$2
    shift 2
    RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR=$folder \
        cargo build --locked --profile dist --target "$host" --bin sluice "$@"
}

sum=$(profdata)
rm -rf "$work/counts"
mkdir -p "$work/counts"
build "-Cprofile-generate=$work/counts" "$work/counting" "$@"
python3 benches/train.py "$work/counting/$host/dist/sluice"
"$sum" merge -o "$work/sluice.profdata" "$work/counts"
build "-Cprofile-use=$work/sluice.profdata" "$work/build" "$@"
cp "$work/build/$host/dist/sluice" "$work/sluice"
echo "built $work/sluice"
