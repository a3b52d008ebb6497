#!/usr/bin/env bash
# guard.sh - would a test notice if a rule of the guard were gone? Each one is taken out in turn.
#
#   tests/mutation/guard.sh              all of them: about a minute and a half
#   tests/mutation/guard.sh --sample N   every N-th, for ctest
#   tests/mutation/guard.sh --fuzz       by the differential fuzz target instead, over its corpus
#
# A mutant is a guard in which one `return shs__refuse(...)` does nothing. It is killed when
# tests/unit/test_guard.c fails, crashes or does not end. Exit code 0: all killed. $SHS_BUILD_DIR is
# a build without sanitizers (build/debug by default) in which libshs.a and test_guard are up to date.
#
# fuzz/fuzz_differential.c compares that a request is refused and not the reason, so it does not see
# a rule whose input another one refuses as well: with --fuzz, two in five have to be killed.
set -euo pipefail

src=${SHS_SOURCE_DIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
build=${SHS_BUILD_DIR:-$src/build/debug}
every=1 fuzz=
case ${1:-} in
--sample) every=$2 ;;
--fuzz) fuzz=1 ;;
'') ;;
*)
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
if [ -n "${SHS_SANITIZE:-}" ] || [ "${SHS_COVERAGE:-OFF}" = ON ]; then
    echo "skipped: mutants are linked without sanitizers and coverage"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

files=(guard_scan guard_head guard_body target)
flags=(-std=c11 -O1 -w -D_GNU_SOURCE "-I$src/include" "-I$src/src" -isystem /usr/share/include/llhttp)
[ ! -f "$build/llhttp_names.h" ] || flags+=(-include "$build/llhttp_names.h")
program=test_guard arguments=()
if [ -n "$fuzz" ]; then
    program=fuzz_differential arguments=("$src/fuzz/corpus/differential")
fi
mapfile -t test_objects < <(find "$build/CMakeFiles/$program.dir" -name '*.c.o')
[ ${#test_objects[@]} -gt 0 ] && [ -f "$build/libshs.a" ] || {
    echo "build libshs.a and $program first, in $build" >&2
    exit 2
}
libraries=("$build/libshs.a" -lcmocka -pthread)
pkg-config --exists libllhttp 2>/dev/null && libraries+=(-lllhttp)

# mutant FILE NUMBER: writes FILE without its NUMBER-th refusal; says its line and rule.
mutant() {
    awk -v wanted="$2" -v out="$work/mutant.c" '
        { line[NR] = $0 }
        END {
            for (i = 1; i <= NR; i++) {
                if (line[i] ~ /return shs__refuse\(/ && ++count == wanted) {
                    last = i
                    while (line[last] !~ /;/) last++
                    text = line[i]
                    if (last > i) text = text line[last]
                    match(text, /shs__refuse\(.*\)/)
                    printf "%d %s\n", i, substr(text, RSTART, RLENGTH)
                    # At the end of a function something must be returned: then it accepts.
                    print (line[last + 1] ~ /^}/) ? "    return SHS_OK;" : "        (void)0;" > out
                    i = last
                } else print line[i] > out
            }
        }' "$src/src/http/$1.c"
}

# alive: true if the test passes with the mutant in the place of FILE.
alive() {
    cc "${flags[@]}" -c "$work/mutant.c" -o "$work/mutant.o" &&
        cc "$work/mutant.o" "${test_objects[@]}" "${libraries[@]}" -o "$work/test" || {
        echo "cannot build the mutant of $1" >&2
        exit 2
    }
    (cd "$work" && timeout 20 ./test "${arguments[@]}") >/dev/null 2>&1
}

total=0 killed=0 at=0
# The negative control: without a mutation the test passes.
cp "$src/src/http/guard_head.c" "$work/mutant.c"
alive guard_head || { echo "the test fails without any mutation" >&2; exit 2; }
for file in "${files[@]}"; do
    number=1
    while where=$(mutant "$file" "$number") && [ -n "$where" ]; do
        number=$((number + 1))
        at=$((at + 1))
        [ $((at % every)) -eq 0 ] || continue
        total=$((total + 1))
        if alive "$file"; then
            echo "not noticed: src/http/$file.c line $where"
        else
            killed=$((killed + 1))
        fi
    done
done
echo "$killed of $total mutants killed"
if [ -n "$fuzz" ]; then
    [ $((killed * 5)) -ge $((total * 2)) ]
else
    [ "$total" -gt 0 ] && [ "$killed" -eq "$total" ]
fi
