#!/usr/bin/env bash
# check_links.sh - relative links in the documents lead to a file, and to a heading of it that is there.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# links FILE: each link and image target outside of fenced blocks and `code`, one per line.
links() {
    awk '/^(```|    )/ { if (/^```/) fenced = !fenced; next } !fenced { gsub(/`[^`]*`/, ""); print }' "$1" |
        grep -oE '\]\([^)]*\)' | sed -E 's/^\]\(//; s/\)$//; s/ +"[^"]*"$//' || true
}

# anchors FILE: the name that GitHub gives each heading.
anchors() {
    awk '/^```/ { fenced = !fenced } !fenced && /^#+ /' "$1" |
        sed -E 's/^#+ +//; s/[`*]//g; s/\[([^]]*)\]\([^)]*\)/\1/g' | tr '[:upper:]' '[:lower:]' |
        sed -E 's/[^[:alnum:] _-]//g; s/ /-/g'
}

check() {
    local file link path anchor target
    while IFS= read -r file; do
        while IFS= read -r link; do
            case $link in
            '' | *://* | mailto:*) continue ;;
            esac
            path=${link%%#*}
            anchor=
            [ "$path" = "$link" ] || anchor=${link#*#}
            target=$tree/$file
            [ -z "$path" ] || target=$(dirname "$tree/$file")/$path
            if [ ! -e "$target" ]; then
                fault "$file: the link to $link leads nowhere"
            elif [ -n "$anchor" ] && [ -f "$target" ] && ! anchors "$target" | grep -qxF -- "$anchor"; then
                fault "$file: $link: there is no such heading"
            fi
        done < <(links "$tree/$file")
    done < <(tree_files | grep '\.md$' || true)
}

self_test() {
    put README.md <<<'See [a](docs/a.md), [b](docs/a.md#the-b-of-c), [c](#here), [d](https://e.test/), `[no](no.md)`.
## Here
```
[no](no.md)
```'
    put docs/a.md <<<'## The `b` of c
[back](../README.md)'
    expect good "links that lead somewhere"
    put README.md <<<'See [a](docs/b.md).'
    expect bad "a link to a file that is not there"
    put README.md <<<'![picture](a.png)'
    expect bad "a picture that is not there"
    put README.md <<<'See [a](#there).
## Here'
    expect bad "a link to a heading that is not there"
    put docs/a.md <<<'See [a](docs/a.md).'
    expect bad "a link that is relative to the wrong folder"
}

style_main "$@"
