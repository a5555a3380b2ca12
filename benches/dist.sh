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
# Needs llvm-profdata, llvm-bolt and merge-fdata of the LLVM that rustc has: from the PATH, or by `tests/setup.sh llvm`.
# BOLT is for x86-64 alone, where it was tried.
#
# The program has its symbols, but no debug information; GNU strip breaks what BOLT has written, LLVM's does not.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=$(mkdir -p "${CARGO_TARGET_DIR:-target}" && cd "${CARGO_TARGET_DIR:-target}" && pwd)
work=$target/pgo
host=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

export PATH=$PATH:$target/test-env/bin
# What BOLT reads, where it is to take part.
relocations=
[[ $host != x86_64-* ]] || relocations=-Clink-arg=-Wl,--emit-relocs

# Builds the program with the compiler's flags $1 into folder $2. With --target, build scripts go without the flags.
build() {
    local flags=$1 folder=$2
    shift 2
    RUSTFLAGS="${RUSTFLAGS:-} $flags" CARGO_TARGET_DIR=$folder \
        cargo build --locked --profile dist --target "$host" --bin sluice "$@"
}

# Runs BOLT, which has much to say.
bolt() {
    "llvm-bolt-$llvm" "$@" >"$work/bolt.log" 2>&1 || { tail -n 20 "$work/bolt.log" >&2; return 1; }
}

# Lays the program $1, which has relocations, out anew as $2.
lay_out() {
    local counts=$work/runs library=$target/test-env/llvm/usr/lib/llvm-$llvm/lib/libbolt_rt_instr.a
    local counters=(--instrument --instrumentation-file="$counts/run" --instrumentation-file-append-pid)
    # A BOLT that is installed finds its own.
    [ ! -e "$library" ] || counters+=(--runtime-instrumentation-lib="$library")
    rm -rf "$counts"
    mkdir -p "$counts"
    bolt "$1" -o "$work/counting-runs" "${counters[@]}"
    python3 benches/train.py "$work/counting-runs"
    "merge-fdata-$llvm" "$counts"/*.fdata >"$work/sluice.fdata"
    # AWS-LC stays as it is: not all of its assembly, of which some names are its own, looks like a compiler's.
    bolt "$1" -o "$2" --data "$work/sluice.fdata" --reorder-blocks=ext-tsp --reorder-functions=cdsort --split-functions \
        --split-strategy=cdsplit --split-all-cold --split-eh --icf=safe \
        --skip-funcs='aws_lc_.*,_+(aesni|bn|ecp_nistz256|vpaes)_.*'
}

for program in llvm-profdata llvm-bolt merge-fdata; do
    command -v "$program-$llvm" >/dev/null || tests/setup.sh llvm
done
rm -rf "$work/counts"
mkdir -p "$work/counts"
build "-Cprofile-generate=$work/counts" "$work/counting" "$@"
python3 benches/train.py "$work/counting/$host/dist/sluice"
"llvm-profdata-$llvm" merge -o "$work/sluice.profdata" "$work/counts"
build "-Cprofile-use=$work/sluice.profdata $relocations" "$work/build" "$@"
if [ -n "$relocations" ]; then
    lay_out "$work/build/$host/dist/sluice" "$work/sluice"
else
    cp "$work/build/$host/dist/sluice" "$work/sluice"
fi
"$work/sluice" --version
echo "built $work/sluice"
