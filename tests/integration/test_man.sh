#!/usr/bin/env bash
# test_man.sh - every man page is read by man and by mandoc without a word of complaint, leads only to pages that
# are there, and is installed. Help, man page and configuration reference of `shs serve` lack no row of its table.
set -euo pipefail
pages=$SHS_BUILD_DIR/man
if [ ! -d "$pages" ]; then
    echo "skipped: this build makes no man pages (a sanitizer, or another machine)"
    exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0
fault() {
    echo "$*"
    faults=$((faults + 1))
}
export LC_ALL=C.UTF-8 MANWIDTH=80

for page in shs.1 shs-{serve,lab,exec,ctl,cert,acl,check,trust}.1 shs.conf.5 libshs.7; do
    [ -s "$pages/$page" ] || fault "there is no $page"
done
for header in "$SHS_SOURCE_DIR"/include/shs/*.h; do
    name=$(basename "$header" .h)
    [ "$name" = shs ] || [ -s "$pages/shs_$name.3" ] || fault "there is no shs_$name.3"
done

for page in "$pages"/*.[1-9]; do
    if command -v mandoc >/dev/null; then
        # It looks for other pages in the system's folders: those of ours are looked for below.
        mandoc -Tlint "$page" | grep -v 'referenced manual not found' >"$work/said" || true
        [ ! -s "$work/said" ] || fault "mandoc -Tlint: $(cat "$work/said")"
    fi
    # -l of man-db takes half a second a page: what it runs for one takes a tenth.
    if command -v groff >/dev/null; then
        groff -mandoc -ww -Tutf8 -Z "$page" >/dev/null 2>"$work/said" || true
        [ ! -s "$work/said" ] || fault "groff: $page: $(cat "$work/said")"
    fi
    while read -r name section; do
        [ -s "$pages/$name.$section" ] || fault "$page: there is no $name($section)"
    done < <(sed -nE 's/^\.(It )?Xr ([^ ]+) ([0-9]).*/\2 \3/p' "$page")
    # Marks that nobody replaced, and what a broken text would look like.
    ! grep -qE '^\.\\" @' "$page" || fault "$page: a mark is left"
    ! LC_ALL=C grep -qE $'[\x01-\x08\x0b-\x1f]' "$page" || fault "$page: control characters"
done
if command -v man >/dev/null; then
    man --warnings -E UTF-8 -l -Tutf8 -Z "$pages/shs-serve.1" >/dev/null 2>"$work/said" || fault "man does not read shs-serve.1"
    [ ! -s "$work/said" ] || fault "man --warnings: $(cat "$work/said")"
fi

# The rows as they stand in the source: what is made of the table cannot say what it has left out.
"$SHS_BIN" serve --help >"$work/help"
grep -oE '\.name = "[a-z0-9-]+"' "$SHS_SOURCE_DIR/src/cmd/serve_settings.c" | cut -d'"' -f2 >"$work/rows"
[ "$(wc -l <"$work/rows")" -gt 100 ] || fault "the rows of serve_settings.c are not found"
while read -r row; do
    case $row in
    route) key=path ;;
    route-method) key=methods ;;
    *) key=${row#route-} ;;
    esac
    grep -qE "^ +(-[A-Za-z], )?--$row( |=|\[|$)" "$work/help" || fault "--$row is not in 'shs serve --help'"
    grep -qE "^\.It Fl ([^ ] , Fl )?\\\\-$row( |$)" "$pages/shs-serve.1" || fault "--$row is not in shs-serve(1)"
    case $row in
    config | check | print-config | now) ;; # of the command line only
    *) grep -qE "^\.It Cm $key( |$)" "$pages/shs.conf.5" || fault "$key, of --$row, is not in shs.conf(5)" ;;
    esac
done <"$work/rows"

cmake --install "$SHS_BUILD_DIR" --prefix "$work/prefix" --component cmd >"$work/said"
for page in man1/shs.1 man1/shs-serve.1 man5/shs.conf.5; do
    [ -s "$work/prefix/share/man/$page" ] || fault "$page is not installed with the command"
done
cmake --install "$SHS_BUILD_DIR" --prefix "$work/prefix" --component dev >"$work/said"
for page in man3/shs_router.3 man7/libshs.7; do
    [ -s "$work/prefix/share/man/$page" ] || fault "$page is not installed with the headers"
done
if [ "$faults" -gt 0 ]; then
    echo "$faults faults"
    exit 1
fi
