#!/usr/bin/env bash
# check_abi.sh - a program that is linked with the last release runs with this libshs.so.
#
#   tests/style/check_abi.sh             compares with the newest packaging/abi/libshs-VERSION.abi.xz
#   tests/style/check_abi.sh --update    writes that of this version, from the built library
#
# While the soname is the same, functions may be added, and members at the end of a struct that begins with
# `size_t size`; nothing else may change. docs/versions.md is the promise. With another soname, and before the version
# of that file is released (CHANGELOG.md says "unreleased"), changes are shown and are no fault.
#
# The library is $SHS_BUILD_DIR/libshs.so, or the newest of build/deb and build/debug: it needs debug information.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

work=$(mktemp -d)
trap 'rm -rf "$work" "$fault_file" "${self_dir:-$fault_file}"' EXIT

# abi_of LIBRARY: the types and functions of the public headers, without what differs between two builds. Not with
# --headers-dir: that goes by a header's name alone, and src/admin/admin.h is not include/shs/admin.h. The label is
# libabigail's own for what that makes: types whose members are not looked at. And only what is exported: else
# libabigail 2.2 takes a function's first declaration, in a file that calls it, and loses the function.
abi_of() {
    cat >"$work/private" <<'SUPPRESSION'
[suppress_type]
label = Artificial private types suppression specification
source_location_not_regexp = (^|/)include/shs/[a-z0-9_]+[.]h$
drop = yes
SUPPRESSION
    abidw --suppressions "$work/private" --exported-interfaces-only --no-corpus-path --no-comp-dir-path --no-show-locs "$1"
}

# The functions of a dump of which it has the name alone: nothing of them is compared.
names_alone() {
    comm -13 <(sed -nE "s/.* elf-symbol-id='([^'@]*).*/\1/p" "$1" | sort -u) \
        <(sed -nE "s/^ *<elf-symbol name='([^']*)' type='func-type'.*/\1/p" "$1" | sort -u)
}

version_now() {
    sed -nE 's/.*SHS_VERSION_STRING "(.*)".*/\1/p' "$tree/include/shs/version.h"
}

# The newest dump, and its version.
last_dump() {
    find "$tree/packaging/abi" -name 'libshs-*.abi.xz' 2>/dev/null | sort -V | tail -n 1
}

# The structs that say how large they are may grow at the end; not those whose size may be left 0.
sized() {
    awk '/^struct [a-z_]+ \{/ { name = $2; first = 1; next }
         first && NF { if ($0 ~ /^ *size_t size;/ && $0 !~ /0 = /) print name
                       if ($0 !~ /^ *(\/\*|\*|[a-z ,.]*\*\/)/) first = 0 }' "$tree"/include/shs/*.h
}

# What of abidiff's report is more than such growth, from its list of changed types on. A line of a kind that is
# not known here is taken for a fault.
more_than_growth() {
    awk -v names="$(sized | tr '\n' ' ')" '
        BEGIN { split(names, list, " "); for (i in list) sized[list[i]] = 1 }
        /^Leaf changes summary|^Changed leaf types summary|^Removed\/Changed\/Added .* 0 Removed, 0 Changed/ || !NF { next }
        /^.struct [a-z_]+( at [^ ]*)?. changed:$/ { name = $2; sub(/\x27$/, "", name); size = 0
                                                    if (name in sized) { block = $0; next } }
        /^  type size changed from [0-9]+ to [0-9]+ \(in bits\)$/ && block != "" && $7 > $5 { size = $5; next }
        /^  [0-9]+ data member insertions?:$/ && block != "" && size > 0 { next }
        /^    .*, at offset [0-9]+ \(in bits\)/ && block != "" && size > 0 {
            match($0, /at offset [0-9]+/)
            # Nor in what filled the old one up to its end: a copy by an old program may leave that out.
            if (substr($0, RSTART + 10, RLENGTH - 10) + 0 >= size) next
        }
        { if (block != "") print block; block = ""; print }' "$1"
}

soname() {
    sed -nE "s/^<abi-corpus .*soname='([^']*)'.*/\1/p" "$1"
}

check() {
    local dump released status=0
    dump=$(last_dump)
    [ -n "$dump" ] || { fault "packaging/abi has no dump of a release: tests/style/check_abi.sh --update"; return; }
    released=$(basename "$dump" .abi.xz)
    released=${released#libshs-}
    xz -dc "$dump" >"$work/old.abi"
    abi_of "$library" >"$work/new.abi" 2>"$work/said" || { fault "abidw cannot read $library: $(head -n 5 "$work/said")"; return; }
    if [ -n "$(names_alone "$work/new.abi")" ]; then
        fault "abidw found no declaration of $(names_alone "$work/new.abi" | head -n 3 | xargs): these would not be compared"
        return
    fi
    abidiff --leaf-changes-only --no-added-syms "$work/old.abi" "$work/new.abi" >"$work/report" 2>&1 || status=$?
    # 1 and 2 are its own troubles, 4 and 8 what it found.
    [ $((status & 3)) -eq 0 ] || { fault "abidiff failed with $status: $(head -n 5 "$work/report")"; return; }
    [ "$status" -eq 0 ] || cat "$work/report"
    if [ "$status" -eq 0 ] || { [ $((status & 8)) -eq 0 ] && [ -z "$(more_than_growth "$work/report")" ]; }; then
        echo "a program linked with libshs $released runs with this one"
        return
    fi
    if grep -qxF "## $released (unreleased)" "$tree/CHANGELOG.md"; then
        echo "(libshs $released is not released: these changes since its dump are no fault. Before the release: --update)"
    elif [ "$(soname "$work/old.abi")" != "$(soname "$work/new.abi")" ]; then
        echo "(another soname than that of libshs $released: programs are linked again)"
    else
        fault "libshs.so $(version_now) breaks programs that are linked with $released, and has the same soname (above)"
    fi
}

update() {
    local file
    mkdir -p "$tree/packaging/abi"
    file=$tree/packaging/abi/libshs-$(version_now).abi.xz
    abi_of "$library" | xz -9e >"$work/dump"
    mv "$work/dump" "$file"
    echo "$(stat -c %s "$file") bytes in $file, from $library"
}

# make_library HEADER SOURCE [SONAME [OBJECT]]
make_library() {
    put include/shs/version.h <<<'#define SHS_VERSION_STRING "0.2.0"'
    put CHANGELOG.md <<<$'# Changelog\n\n## 0.2.1 (unreleased)\n\n## 0.2.0'
    put include/shs/a.h <<<"$1"
    put a.c <<<"#include <stddef.h>
#include <shs/a.h>
$2"
    gcc -g -shared -fPIC -Wl,-soname,"${3:-libshs.so.0.2}" -I"$tree/include" -o "$tree/libshs.so" "$tree/a.c" "${@:4}"
    library=$tree/libshs.so
}

self_test() {
    local header source
    header=$'struct shs_o {\n    size_t size; /* of it */\n    int a;\n};\nstruct shs_h {\n    int a;\n};\nstruct shs_private;
int shs_f(const struct shs_o *o, const struct shs_h *h, struct shs_private *p);\n'
    source=$'struct shs_private { int a; };\nint shs_f(const struct shs_o *o, const struct shs_h *h, struct shs_private *p) { return o->a + h->a + p->a; }\n'
    # What has just been made is the last release.
    released() {
        make_library "$header" "$source"
        update >/dev/null
    }
    released
    expect good "the same library"
    released
    make_library "$header" "$source int shs_g(void) { return 1; }"
    expect good "a function more"
    released
    make_library "$header" "${source//shs_private \{/shs_private \{ long b;}"
    expect good "a struct of its own that grew"
    released
    # A header of its own may be named as a public one is.
    put src/a.h <<<'struct shs_private { int a; };'
    make_library "$header" "#include \"src/a.h\"
${source#*\};}"
    update >/dev/null
    put src/a.h <<<'struct shs_private { long b; int a; };'
    make_library "$header" "#include \"src/a.h\"
${source#*\};}"
    expect good "a struct of its own that grew, in a header named as a public one"
    released
    make_library "${header/    int a;/    int a; long b;}" "$source"
    expect good "a member at the end of a struct with a size"
    released
    make_library "${header/    int a;/    int a; int b;}" "$source"
    expect bad "a member in what filled it up"
    released
    make_library "${header/    int a;/    int b; int a;}" "$source"
    expect bad "a member in the middle of it"
    released
    make_library "${header/    int a;/    long a; int b; long c;}" "$source"
    expect bad "a member at the end, and another of another type"
    released
    make_library "${header/    int a;/    long a;}" "$source"
    expect bad "a member of another type"
    released
    make_library "${header/h \{/h \{ int b;}" "$source"
    expect bad "a member more in a struct without a size"
    released
    make_library "${header/const struct shs_h/int x, const struct shs_h}" "${source/const struct shs_h/int x, const struct shs_h}"
    expect bad "a parameter more"
    released
    put b.c <<<'int shs_bare(void) { return 1; }'
    gcc -c -fPIC -o "$tree/b.o" "$tree/b.c"
    make_library "$header" "$source" libshs.so.0.2 "$tree/b.o"
    expect bad "a function without debug information"
    released
    make_library "${header//shs_f/shs_g}" "${source//shs_f/shs_g}"
    expect bad "a function less"
    released
    make_library "${header//shs_f/shs_g}" "${source//shs_f/shs_g}" libshs.so.0.3
    expect good "a function less, and another soname"
    released
    make_library "${header//shs_f/shs_g}" "${source//shs_f/shs_g}"
    put CHANGELOG.md <<<$'# Changelog\n\n## 0.2.0 (unreleased)'
    expect good "a function less, before the release"
    make_library "$header" "$source"
    expect bad "no dump"
    released
    put libshs.so <<<nothing
    expect bad "what is not a library"
}

for tool in abidw abidiff xz; do
    command -v "$tool" >/dev/null || skip "there is no $tool: apt-get install abigail-tools xz-utils"
done
if [ "${1:-}" != --self-test ]; then
    [ -z "${SHS_SANITIZE:-}" ] || skip "a sanitizer adds names of its own"
    library=${SHS_BUILD_DIR:+$SHS_BUILD_DIR/libshs.so}
    [ -n "$library" ] || library=$(ls -t "$tree"/build/{deb,debug}/libshs.so 2>/dev/null | head -n 1 || true)
    [ -f "$library" ] || skip "there is no libshs.so: build first, or set SHS_BUILD_DIR"
    readelf -S "$library" | grep '\.debug_info' >/dev/null || skip "$library has no debug information"
fi
if [ "${1:-}" = --update ]; then
    update
    exit
fi
style_main "$@"
