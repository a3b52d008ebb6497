# style.sh - what the checks in this folder share; they source it.
#
# A check is a script with two functions, check() and self_test(), and `style_main "$@"` at its end:
#
#   check_X.sh [TREE]        checks the project, or another tree; exit code 0 or 1, every fault named
#   check_X.sh --self-test   makes small trees with one fault each and demands that check() says no
#
# shellcheck shell=bash
set -euo pipefail
LC_ALL=C.UTF-8
export LC_ALL

style_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(cd "$style_dir/../.." && pwd)
# Faults go to a file, because many are found at the end of a pipe, in another process.
fault_file=$(mktemp)
trap 'rm -rf "$fault_file" "${self_dir:-$fault_file}"' EXIT

# fault TEXT: one fault, and on with the check.
fault() {
    printf '%s\n' "$1" | tee -a "$fault_file"
}

# fault_lines WHY < LINES: each line is a fault.
fault_lines() {
    local text
    while IFS= read -r text; do
        fault "$text    <- $1"
    done
}

skip() {
    echo "skipped: $*"
    exit 77
}

# sources DIR...: the C files below these folders of the tree that exist, one per line.
sources() {
    local dir
    for dir in "$@"; do
        [ ! -e "$tree/$dir" ] || (cd "$tree" && find "$dir" -type f \( -name '*.c' -o -name '*.h' \))
    done | sort
}

# tree_files: what is or could be committed: git's idea of it, or every file where there is no git.
tree_files() {
    if [ -e "$tree/.git" ] && command -v git >/dev/null &&
        git -C "$tree" -c safe.directory='*' rev-parse >/dev/null 2>&1; then
        git -C "$tree" -c safe.directory='*' ls-files --cached --others --exclude-standard |
            sort -u | while IFS= read -r file; do
            [ ! -f "$tree/$file" ] || printf '%s\n' "$file"
        done
    else
        (cd "$tree" && find . -type f -not -path './build/*' -not -path './build-*' \
            -not -path './.git/*' | sed 's,^\./,,' | sort)
    fi
}

# put FILE < TEXT: a file in the tree of a self-test.
put() {
    mkdir -p "$(dirname "$tree/$1")"
    cat >"$tree/$1"
}

# expect good|bad WHAT: runs check() on $tree, and says when it is not of that opinion.
expect() {
    local opinion=good output
    : >"$fault_file"
    output=$(check)
    [ ! -s "$fault_file" ] || opinion=bad
    if [ "$opinion" != "$1" ]; then
        printf 'self-test: %s should be %s, and check() finds it %s\n%s\n' "$2" "$1" "$opinion" "$output"
        self_faults=$((self_faults + 1))
    fi
    rm -rf "${tree:?}"
    mkdir -p "$tree"
}

# expect_each_bad: runs check() once on a tree in which every file has a fault, each of its own, and
# demands that every file is named.
expect_each_bad() {
    local file
    : >"$fault_file"
    (check) >/dev/null
    while IFS= read -r file; do
        grep -qF "$file" "$fault_file" || {
            printf 'self-test: check() finds no fault in %s:\n' "$file"
            cat "$tree/$file"
            self_faults=$((self_faults + 1))
        }
    done < <(cd "$tree" && find . -type f | sed 's,^\./,,')
    rm -rf "${tree:?}"
    mkdir -p "$tree"
}

style_main() {
    if [ "${1:-}" = --self-test ]; then
        self_faults=0
        self_dir=$(mktemp -d)
        tree=$self_dir/tree
        mkdir -p "$tree"
        self_test
        [ "$self_faults" -eq 0 ] || exit 1
        echo "the check can fail"
        return
    fi
    [ -z "${1:-}" ] || tree=$(cd "$1" && pwd)
    check
    if [ -s "$fault_file" ]; then
        echo "$(wc -l <"$fault_file") faults"
        exit 1
    fi
}
