#!/usr/bin/env bash
# Builds everything and runs every test. Works on a fresh Debian 12 with nothing but git.
#
#   bash tests/run.sh                  release, asan+ubsan, tsan, what only a debug build can show,
#                                      a compile with clang, fuzzing
#   bash tests/run.sh --quick          debug only
#   bash tests/run.sh --preset NAME    one build: debug, release, asan, tsan, clang, fuzz, coverage
#
# Missing packages are installed when run as root; otherwise the apt line is printed. Nothing is
# asked. A line at least once a minute says how far it is. At the end come the names of the tests that
# failed, and of those that were skipped because they cannot run on this machine, with the reason. The
# last line is the sum over all builds, `N passed, N failed`; the exit code is 0 only if nothing failed.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
exec </dev/null

# The cheapest to build first: the others are built while it is tested.
presets=(debug release asan tsan clang fuzz)
while [ $# -gt 0 ]; do
    case $1 in
    --quick) presets=(debug) ;;
    --preset)
        [ $# -ge 2 ] || { echo "--preset needs a name: debug, release, asan, tsan, clang, fuzz, coverage" >&2; exit 2; }
        presets=("$2")
        shift
        ;;
    -h | --help)
        sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    *)
        echo "unknown option $1; try --help" >&2
        exit 2
        ;;
    esac
    shift
done

packages=(build test)
case " ${presets[*]} " in *" fuzz "*) packages+=(fuzz) ;; esac
bash packaging/debian.sh own "$root/build" || exit 1
bash packaging/debian.sh install "${packages[@]}" || exit 1

jobs=$(nproc)
test_jobs=$((jobs + 2)) # most tests wait for a deadline most of the time
passed=0
failed=0
all_presets=${#presets[@]}

# say TEXT: a heading with the time since the start.
SECONDS=0
say() {
    printf '== %3ds  %s\n' "$SECONDS" "$*"
}

# heartbeat WAITED LOG: after each 45 s of waiting, how far it is: ninja and ctest count in lines that
# begin with "[3/9]" or " 3/9 Test".
heartbeat() {
    [ $(($1 % 45)) -ne 0 ] || say "  ... $(tail -n 60 "$2" | grep -oE '^\[[0-9]+/[0-9]+\]|^ *[0-9]+/[0-9]+ Test' |
        tail -n 1 | tr -d '[] Test') done"
}

# watched LOG COMMAND...: runs the command with its output in LOG, and says how far it is.
watched() {
    local log=$1 waited=0
    shift
    "$@" >>"$log" 2>&1 &
    while kill -0 $! 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        heartbeat "$waited" "$log"
    done
    wait $!
}

# compile PRESET: what is built of it. Of clang's build only its objects are wanted, unless it is tested.
compile() {
    local objects=()
    if [ "$1" = clang ] && [ "$all_presets" -gt 1 ]; then
        mapfile -t objects < <(ninja -C build/clang -t targets all | sed -n 's/^\(.*\.o\): .*/\1/p')
        [ ${#objects[@]} -gt 0 ] || return 1
    fi
    ninja -C "build/$1" -k 0 -j "$jobs" "${objects[@]}"
}

# build PRESET: configures and compiles, quietly.
build() {
    local dir=build/$1 options=(-DSHS_WERROR=ON)
    [ "$1" = fuzz ] || options+=(-DSHS_BUILD_TESTS=ON -DSHS_BUILD_EXAMPLES=ON)
    # A directory that another generator or another place of the tree configured cannot be reused.
    if [ -f "$dir/CMakeCache.txt" ] &&
        ! { grep -q "^CMAKE_GENERATOR:INTERNAL=Ninja$" "$dir/CMakeCache.txt" &&
            grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$dir/CMakeCache.txt"; }; then
        rm -rf "$dir"
    fi
    cmake --preset "$1" "${options[@]}" && compile "$1"
}

# build_all: one build after the other, beside the tests of those before it and with what these leave of
# the processors: most tests wait most of the time. build/NAME.built has the exit code of each.
build_all() {
    local preset
    set -m # a process group for each, so that it can be ended with its compilers
    trap 'kill -- "-$!" 2>/dev/null; exit 1' TERM
    for preset in "${presets[@]}"; do
        build "$preset" >"build/build-$preset.log" 2>&1 &
        wait "$!"
        echo $? >"build/$preset.built.new" && mv "build/$preset.built.new" "build/$preset.built"
    done
}

# built PRESET: waits for its build, and says how far it is; when it failed, why.
built() {
    local waited=0 log=build/build-$1.log
    say "$1: building"
    until [ -f "build/$1.built" ]; do
        if ! kill -0 "$builder" 2>/dev/null && [ ! -f "build/$1.built" ]; then
            break
        fi
        sleep 1
        waited=$((waited + 1))
        [ ! -f "$log" ] || heartbeat "$waited" "$log"
    done
    [ "$(cat "build/$1.built" 2>/dev/null)" != 0 ] || return 0
    grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Creating)|^-- ' "$log"
    say "$1: the build failed (all of it: $log)"
    echo "failed $1: the build" >>build/named.txt
    failed=$((failed + 1))
    return 1
}

# ThreadSanitizer's shadow memory does not fit every address space layout: switch randomisation off
# for it, where that is allowed.
launcher() {
    if [ "$1" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then
        echo "setarch $(uname -m) -R"
    fi
}

# Which tests a build runs: style does not depend on the build, so once is enough; and clang's build
# is there to compile, its tests run with `--preset clang`. When all builds run, the debug build does
# not run again what the release and both sanitizers run: it adds style, valgrind and the unit tests.
selection() {
    case $1 in
    debug) [ "$all_presets" -eq 1 ] || echo "-LE integration|example" ;;
    asan) echo "-LE style" ;;
    release) echo "-LE style" ;; # with _FORTIFY_SOURCE, which sees what the others do not
    tsan) echo "-L unit|integration|example" ;;
    esac
}

# fuzz TARGET: libFuzzer for a minute, from the corpus in the tree. A finding is kept, and shown. The
# same seed each time, so that a run can be repeated; SHS_FUZZ_SEED is another.
fuzz_seconds=60
fuzz() {
    local found=build/fuzz/found/$1
    rm -rf "$found" && mkdir -p "$found/new" &&
        "build/fuzz/$1.fuzz" -seed="${SHS_FUZZ_SEED:-1}" -max_total_time=$fuzz_seconds -max_len=2500 -timeout=20 \
            -print_final_stats=1 -artifact_prefix="$found/" "$found/new" "fuzz/corpus/$1" \
            >"build/fuzz-$1.log" 2>&1
}

# fuzzed TARGET STATUS: what came of it. A fuzzer that hardly ran has shown nothing.
fuzzed() {
    local name=$1 runs file
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz-$name.log")
    if [ "$2" -eq 0 ] && [ "${runs:-0}" -ge 1000 ]; then
        say "fuzz: $name: $runs inputs, nothing found"
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "failed fuzz: $name" >>build/named.txt
    tail -n 60 "build/fuzz-$name.log"
    say "fuzz: $name: FAILED (exit code $2, ${runs:-no} inputs; all of it: build/fuzz-$name.log)"
    for file in "build/fuzz/found/$name"/*-*; do
        [ -f "$file" ] || continue
        echo "to see it again: build/fuzz/$name.fuzz $file, which is:"
        od -A d -t x1z "$file" | head -n 200
    done
}

# The targets that see most, at the same time; ctest runs each of them over its corpus.
run_fuzz() {
    local name pids=() targets=(h1 differential records)
    built fuzz || return
    say "fuzz: ${targets[*]}, $fuzz_seconds s"
    for name in "${targets[@]}"; do
        fuzz "$name" &
        pids+=($!)
    done
    for name in "${!targets[@]}"; do
        wait "${pids[$name]}"
        fuzzed "${targets[$name]}" $?
    done
}

run_preset() {
    if [ "$1" = fuzz ]; then
        run_fuzz
        return
    fi
    local preset=$1 log=build/test-$1.log report=build/$1.xml good bad skipped
    built "$preset" || return
    if [ "$preset" = clang ] && [ "$all_presets" -gt 1 ]; then
        say "$preset: compiled without a warning"
        passed=$((passed + 1))
        return
    fi
    say "$preset: testing"
    rm -f "$report"
    : >"$log"
    # shellcheck disable=SC2046 # lists of words
    watched "$log" $(launcher "$preset") ctest --test-dir "build/$preset" -j "$test_jobs" \
        --output-on-failure --no-tests=error --output-junit "$root/$report" $(selection "$preset")
    local rc=$?
    if ! python3 tests/report.py "$report" "$preset" >"$report.txt" ||
        ! read -r good bad skipped <"$report.txt" || { [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        cat "$log"
        say "$preset: ctest itself failed (exit code $rc)"
        echo "failed $preset: ctest" >>build/named.txt
        failed=$((failed + 1))
        return
    fi
    [ "$bad" -eq 0 ] || cat "$log"
    tail -n +2 "$report.txt" >>build/named.txt
    passed=$((passed + good))
    failed=$((failed + bad))
    say "$preset: $good passed, $bad failed, $skipped skipped"
}

mkdir -p build
: >build/named.txt
rm -f build/*.built
build_all &
builder=$!
renice -n 10 -p "$builder" >/dev/null
trap 'kill $(jobs -p) 2>/dev/null' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
for preset in "${presets[@]}"; do
    run_preset "$preset"
done

sort build/named.txt
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
