#!/usr/bin/env bash
# Runs the tests of a coverage build and says which lines and branches of src/ they reach: by room,
# and by file.
#   cmake/coverage.sh SOURCE_DIR BUILD_DIR      (the target `coverage` calls it)
set -euo pipefail
source_dir=$1
build_dir=$2

cd "$build_dir"
find . -name '*.gcda' -delete
ctest -j "$(nproc)" --output-on-failure -LE 'style|valgrind' || echo "some tests failed; the report follows" >&2

# gcov's own summary: no other tool is needed. Each way out of a condition is a branch.
# "src/http     97.9% of  283 lines  91.0% of  340 branches"
find . -path './CMakeFiles/shs*.dir/src/*' -name '*.gcda' -print0 |
    xargs -0 -r gcov -b -n -r -s "$source_dir" 2>/dev/null |
    awk -v BY_NAME='sort -k1,1' '
        function add(name, of) {
            hit[name] += hit[of]; lines[name] += lines[of]
            taken[name] += taken[of]; branches[name] += branches[of]
        }
        # A header is told of with each file that includes it: the one that reaches most of it counts.
        function flush() {
            if (file ~ /^src\// && (!(file in lines) || lines_hit > hit[file])) {
                hit[file] = lines_hit; lines[file] = lines_all
                taken[file] = branches_hit; branches[file] = branches_all
                is_file[file] = 1
            }
            file = ""
            branches_hit = branches_all = 0
        }
        function line(name) {
            return sprintf("%-34s %6.2f%% of %5d lines  %6.2f%% of %5d branches", name,
                           100 * hit[name] / lines[name], lines[name],
                           branches[name] ? 100 * taken[name] / branches[name] : 100, branches[name])
        }
        /^File / { flush(); file = $2; gsub(/\047/, "", file); next }
        /^(Calls executed|No calls)/ { flush() } # the last line of a file; the sum of all follows
        /^Lines executed:/ {
            split($0, part, /[:% ]+/)
            lines_all = part[5]
            lines_hit = part[3] * lines_all / 100
        }
        /^Taken at least once:/ {
            split($0, part, /[:% ]+/)
            branches_all = part[7]
            branches_hit = part[5] * branches_all / 100
        }
        END {
            flush()
            for (name in is_file) {
                room = name
                sub(/\/[^\/]*$/, "", room)
                is_room[room] = 1
                add(room, name); add("src (all)", name)
            }
            for (name in is_room) print line(name) | BY_NAME
            close(BY_NAME)
            if ("src (all)" in lines) print line("src (all)")
            print ""
            for (name in is_file) print line(name) | BY_NAME
        }'
