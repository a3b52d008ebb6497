#!/usr/bin/env bash
# Builds everything and runs every test. Works on a fresh Debian 12 with nothing but git.
#
#   bash tests/run.sh                  release, debug, asan+ubsan, tsan, a compile with clang, fuzzing
#   bash tests/run.sh --quick          debug only
#   bash tests/run.sh --preset NAME    one build: debug, release, asan, tsan, clang, fuzz, coverage
#
# Missing packages are installed when run as root; otherwise the apt line is printed. Nothing is
# asked. The last line is the sum over all builds, `N passed, N failed`; the exit code is 0 only if
# nothing failed. Tests that cannot run on this machine are skipped, which is said, and count as
# neither.
set -uo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 1
exec </dev/null

# The release first: examples/quickstart.sh builds it, and need not do so twice.
presets=(release debug asan tsan clang fuzz)
while [ $# -gt 0 ]; do
    case $1 in
    --quick) presets=(debug) ;;
    --preset)
        [ $# -ge 2 ] || { echo "--preset needs a name: debug, release, asan, tsan, clang, fuzz, coverage" >&2; exit 2; }
        presets=("$2")
        shift
        ;;
    -h | --help)
        sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
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
bash packaging/debian.sh install "${packages[@]}" || exit 1

jobs=$(nproc)
passed=0
failed=0
all_presets=${#presets[@]}

# say TEXT: a heading with the time since the start.
SECONDS=0
say() {
    printf '== %3ds  %s\n' "$SECONDS" "$*"
}

# build PRESET LOG: configures and compiles, quietly unless it fails.
build() {
    local dir=build/$1 options=(-DSHS_WERROR=ON)
    [ "$1" = fuzz ] || options+=(-DSHS_BUILD_TESTS=ON -DSHS_BUILD_EXAMPLES=ON)
    # A directory that another generator or another place of the tree configured cannot be reused.
    if [ -f "$dir/CMakeCache.txt" ] &&
        ! { grep -q "^CMAKE_GENERATOR:INTERNAL=Ninja$" "$dir/CMakeCache.txt" &&
            grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$dir/CMakeCache.txt"; }; then
        rm -rf "$dir"
    fi
    cmake --preset "$1" "${options[@]}" >"$2" 2>&1 &&
        cmake --build --preset "$1" -- -k 0 -j "$jobs" >>"$2" 2>&1
}

# ThreadSanitizer's shadow memory does not fit every address space layout: switch randomisation off
# for it, where that is allowed.
launcher() {
    if [ "$1" = tsan ] && setarch "$(uname -m)" -R true 2>/dev/null; then
        echo "setarch $(uname -m) -R"
    fi
}

# Which tests a build runs: style does not depend on the build, so once is enough; and clang's build
# is there to compile, its tests run with `--preset clang`.
selection() {
    case $1 in
    asan) echo "-LE style" ;;
    release) echo "-LE style" ;; # with _FORTIFY_SOURCE, which sees what the others do not
    tsan) echo "-L unit|integration|example" ;;
    esac
}

# attribute NAME FILE: an attribute of <testsuite> in ctest's report.
attribute() {
    sed -n '/<testsuite/,/>/p' "$2" | tr '\n' ' ' | sed -n "s/.*[[:space:]]$1=\"\([0-9]*\)\".*/\1/p"
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
    tail -n 60 "build/fuzz-$name.log"
    say "fuzz: $name: FAILED (exit code $2, ${runs:-no} inputs; all of it: build/fuzz-$name.log)"
    for file in "build/fuzz/found/$name"/*-*; do
        [ -f "$file" ] || continue
        echo "to see it again: build/fuzz/$name.fuzz $file, which is:"
        od -A d -t x1z "$file" | head -n 200
    done
}

# The two targets that see most, at the same time; ctest runs each of them over its corpus.
run_fuzz() {
    local name pids=() targets=(h1 differential)
    say "fuzz: building"
    mkdir -p build
    if ! build fuzz build/fuzz.log; then
        grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Creating)|^-- ' build/fuzz.log
        say "fuzz: the build failed (all of it: build/fuzz.log)"
        failed=$((failed + 1))
        return
    fi
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
    local preset=$1 log=build/$1.log report=build/$1.xml total bad skipped
    mkdir -p build
    say "$preset: building"
    if ! build "$preset" "$log"; then
        grep -vE '^\[[0-9]+/[0-9]+\] (Building|Linking|Creating)|^-- ' "$log"
        say "$preset: the build failed (all of it: $log)"
        failed=$((failed + 1))
        return
    fi
    if [ "$preset" = clang ] && [ "$all_presets" -gt 1 ]; then
        say "$preset: compiled without a warning"
        passed=$((passed + 1))
        return
    fi
    say "$preset: testing"
    rm -f "$report"
    # One more than there are cores: most tests wait for a deadline most of the time.
    # shellcheck disable=SC2046 # lists of words
    $(launcher "$preset") ctest --test-dir "build/$preset" -j "$((jobs + 1))" --output-on-failure \
        --no-tests=error --output-junit "$root/$report" $(selection "$preset") >"$log" 2>&1
    local rc=$?
    total=$(attribute tests "$report" 2>/dev/null)
    bad=$(attribute failures "$report" 2>/dev/null)
    skipped=$(attribute skipped "$report" 2>/dev/null)
    if [ -z "$total" ] || [ -z "$bad" ] || { [ $rc -ne 0 ] && [ "$bad" -eq 0 ]; }; then
        cat "$log"
        say "$preset: ctest itself failed (exit code $rc)"
        failed=$((failed + 1))
        return
    fi
    if [ "$bad" -gt 0 ]; then
        cat "$log"
    elif [ "${skipped:-0}" -gt 0 ]; then
        sed -n '/did not run/,$p' "$log"
    fi
    passed=$((passed + total - bad - ${skipped:-0}))
    failed=$((failed + bad))
    say "$preset: $((total - bad - ${skipped:-0})) passed, $bad failed, ${skipped:-0} skipped"
}

for preset in "${presets[@]}"; do
    run_preset "$preset"
done

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
