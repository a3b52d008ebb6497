#!/usr/bin/env bash
# check_readmes.sh - each folder says what it is for.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# exempt DIR: folders that a README would not help. include/ has only shs/ in it, whose headers are
# the documentation; what a site serves, and recorded inputs, are data.
exempt() {
    case $1 in
    include | include/shs | .ci | .github* | examples/site* | tests/*/corpus* | tests/*/vectors* | tests/*/data* | fuzz/corpus*) return 0 ;;
    esac
    return 1
}

check() {
    local dir
    while IFS= read -r dir; do
        if [ "$dir" = . ]; then
            [ -f "$tree/README.md" ] || fault "there is no README.md"
        elif ! exempt "$dir" && [ ! -s "$tree/$dir/README.md" ]; then
            fault "$dir/ has no README.md"
        fi
    done < <(tree_files | sed -E 's,(^|/)[^/]*$,,; s,^$,.,' | awk '{
                 n = split($0, part, "/"); path = ""
                 for (i = 1; i <= n; i++) { path = path (i > 1 ? "/" : "") part[i]; print path }
                 print "."
             }' | sort -u)
}

self_test() {
    put README.md <<<'# x'
    put src/README.md <<<'# x'
    put src/base/README.md <<<'# x'
    put src/base/a.c <<<'int x;'
    expect good "a tree that explains itself"
    put README.md <<<'# x'
    put src/README.md <<<'# x'
    put src/base/a.c <<<'int x;'
    expect bad "a room without a README"
    put README.md <<<'# x'
    put src/base/README.md <<<'# x'
    put src/base/a.c <<<'int x;'
    expect bad "a folder of folders without a README"
    put src/README.md <<<'# x'
    put src/a.c <<<'int x;'
    expect bad "a project without a README"
}

style_main "$@"
