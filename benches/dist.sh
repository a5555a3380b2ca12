#!/usr/bin/env bash
# Builds Sluice as it is to be packaged: profile `dist`, laid out by what it does under load, first by the compiler
# (profile-guided optimisation, https://doc.rust-lang.org/rustc/profile-guided-optimization.html) and then, as it is
# linked, by BOLT (https://github.com/llvm/llvm-project/blob/main/bolt/README.md), which puts the blocks that run one
# after the other next to each other: with cold caches a login costs what code it must fetch.
#
#   benches/dist.sh [ARGUMENTS OF CARGO BUILD]
#
# Builds with counters, plays benches/train.py, builds with what was counted, has BOLT put counters into that, plays
# again, and has BOLT lay it out. The program is then target/pgo/sluice. Takes two release builds and three minutes.
# Needs llvm-profdata, llvm-bolt and merge-fdata of the LLVM that rustc has: from the PATH, or from Debian unstable's
# packages, which are unpacked into target/test-env (see tests/unpack.sh). BOLT is for x86-64 alone, where it was tried.
#
# The program has its symbols, but no debug information; GNU strip breaks what BOLT has written, LLVM's does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
work=$target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

# The path of program $1 of this LLVM, from the packages $3... unpacked into folder $2 where the PATH has none.
tool() {
    local name=$1-$llvm folder=$target/test-env/$2
    shift 2
    command -v "$name" && return
    if [ ! -e "$folder" ]; then
        echo "  dist: $*, from Debian unstable" >&2
        tests/unpack.sh "$folder" "$@" >&2
    fi
    tests/unpack.sh --wrap "$folder" "$name" >&2
    echo "$target/test-env/bin/$name"
}

# Builds the program with the compiler's flags $1 into folder $2. With --target, build scripts go without the flags.
build() {
    local flags=$1 folder=$2
    shift 2
    RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR=$folder \
        cargo build --locked --profile dist --target "$host" --bin sluice "$@"
}

# Runs BOLT, which has much to say.
bolt() {
    "$bolt" "$@" >"$work/bolt.log" 2>&1 || { tail -n 20 "$work/bolt.log" >&2; return 1; }
}

# Lays the program $1, which has relocations, out anew as $2.
lay_out() {
    local counts=$work/runs library=$target/test-env/bolt/usr/lib/llvm-$llvm/lib/libbolt_rt_instr.a
    local counters=(--instrument --instrumentation-file="$counts/run" --instrumentation-file-append-pid)
    # A BOLT that is installed finds its own.
    [ ! -e "$library" ] || counters+=(--runtime-instrumentation-lib="$library")
    rm -rf "$counts"
    mkdir -p "$counts"
    bolt "$1" -o "$work/counting-runs" "${counters[@]}"
    python3 benches/train.py "$work/counting-runs"
    "$merge" "$counts"/*.fdata >"$work/sluice.fdata"
    # AWS-LC's assembly stays as it was written: not all of it looks like a compiler's.
    bolt "$1" -o "$2" --data "$work/sluice.fdata" --reorder-blocks=ext-tsp --reorder-functions=cdsort --split-functions \
        --split-strategy=cdsplit --split-all-cold --split-eh --icf=safe --skip-funcs='aws_lc_.*'
}

sum=$(tool llvm-profdata llvm "llvm-$llvm")
case $host in
x86_64-*)
    bolt=$(tool llvm-bolt bolt "bolt-$llvm" "libbolt-$llvm-dev")
    merge=$(tool merge-fdata bolt "bolt-$llvm" "libbolt-$llvm-dev")
    relocations=-Clink-arg=-Wl,--emit-relocs
    ;;
*) bolt='' merge='' relocations='' ;;
esac
rm -rf "$work/counts"
mkdir -p "$work/counts"
build "-Cprofile-generate=$work/counts" "$work/counting" "$@"
python3 benches/train.py "$work/counting/$host/dist/sluice"
"$sum" merge -o "$work/sluice.profdata" "$work/counts"
build "-Cprofile-use=$work/sluice.profdata $relocations" "$work/build" "$@"
if [ -n "$bolt" ]; then
    lay_out "$work/build/$host/dist/sluice" "$work/sluice"
else
    cp "$work/build/$host/dist/sluice" "$work/sluice"
fi
"$work/sluice" --version
echo "built $work/sluice"
