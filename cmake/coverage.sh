#!/usr/bin/env bash
# Runs the tests of a coverage build and says which lines of src/ they reach.
#   cmake/coverage.sh SOURCE_DIR BUILD_DIR      (the target `coverage` calls it)
set -euo pipefail
source_dir=$1
build_dir=$2

cd "$build_dir"
find . -name '*.gcda' -delete
ctest -j "$(nproc)" --output-on-failure -LE 'style|valgrind' || echo "some tests failed; the report follows" >&2

# gcov's own summary: no other tool is needed. A line "src/http/guard.c  97.9% of 283".
find . -path './CMakeFiles/shs*.dir/src/*' -name '*.gcda' -print0 |
    xargs -0 -r gcov -n -r -s "$source_dir" 2>/dev/null |
    awk '/^File / { file = $2; gsub(/\047/, "", file) }
         /^Lines executed:/ && file ~ /^src\// {
             split($0, part, /[:% ]+/)
             percent = part[3]; lines = part[5]
             printf "%6.2f%% of %5d  %s\n", percent, lines, file | "sort -k4"
             hit += percent * lines / 100; all += lines; file = ""
         }
         END { close("sort -k4"); if (all > 0) printf "%6.2f%% of %5d  in all\n", 100 * hit / all, all }'
