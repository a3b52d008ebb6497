#!/usr/bin/env bash
# sbom.sh - what programs are linked with, as an SPDX 2.3 document (JSON) on standard output.
#
#   packaging/sbom.sh --version VERSION --created TIME [--llhttp DIR] FILE...
#
# FILE is shs or libshs.so, as built. Each shared library that one of them asks for becomes a package of the
# document: with the Debian package that it comes from and its version where dpkg knows that, else by its soname.
# --llhttp: its sources in DIR/llhttp are compiled in. TIME, as 2026-01-31T12:00:00Z, is when the document was made.
# The same files and time give the same bytes.
set -euo pipefail
export LC_ALL=C

fail() {
    echo "sbom: $*" >&2
    exit 1
}

version= created= llhttp=
while [ $# -gt 0 ]; do
    case $1 in
    --version | --created | --llhttp)
        [ $# -ge 2 ] || fail "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
    --*) fail "there is no option $1" ;;
    *) break ;;
    esac
done
[ -n "$version" ] && [ $# -gt 0 ] || fail "give --version, --created and the files that were built"
[[ $created =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$ ]] || fail "--created $created is not a time as 2026-01-31T12:00:00Z"

# "SONAME PATH" of each library that FILE itself asks for. One that is not found is a fault of the build.
needed() {
    local file=$1 dynamic found name path
    dynamic=$(readelf -d "$file") || fail "$file is not a program or library"
    found=$(ldd "$file") || fail "$file: ldd cannot say where its libraries are"
    while read -r name; do
        path=$(awk -v name="$name" '$1 == name && $2 == "=>" && $3 ~ /^\// { print $3 }
                                    $1 ~ "/" name "$" && $2 ~ /^\(/ { print $1 }' <<<"$found" | head -n 1)
        [ -n "$path" ] || fail "$file needs $name, which is not found"
        echo "$name $path"
    done < <(sed -nE 's/.*\(NEEDED\).*\[(.*)\]$/\1/p' <<<"$dynamic")
}

# Fills owners, PATH to "PACKAGE VERSION ARCHITECTURE", with one question for all: each reads all of dpkg's lists.
declare -A owners=() versions=()
look_up() {
    local path name rest paths=()
    command -v dpkg-query >/dev/null || return 0
    for path in "$@"; do
        paths+=("$path" "${path#/usr}") # some are registered below /lib and lie below /usr/lib
    done
    while read -r name rest; do
        owners[${rest}]=${name%:}
    done < <(dpkg-query -S "${paths[@]}" 2>/dev/null)
    [ "${#owners[@]}" -gt 0 ] || return 0
    while read -r name rest; do
        versions[$name]=$rest
    done < <(dpkg-query -W -f '${Package}:${Architecture} ${Package} ${Version} ${Architecture}\n${Package} ${Package} ${Version} ${Architecture}\n' "${owners[@]}")
}

owner() {
    local name=${owners[$1]:-${owners[${1#/usr}]:-}}
    [ -z "$name" ] || echo "${versions[$name]}"
}

# As names are escaped in a package URL.
escaped() {
    local text=${1//%/%25}
    text=${text//+/%2B}
    echo "${text//:/%3A}"
}

# package ID NAME VERSION LICENCE PURL COMMENT; none of them has a quote or a backslash.
package() {
    printf '    {\n      "SPDXID": "SPDXRef-%s",\n      "name": "%s",\n      "versionInfo": "%s",\n' "$1" "$2" "$3"
    printf '      "downloadLocation": "NOASSERTION",\n      "filesAnalyzed": false,\n'
    printf '      "licenseConcluded": "%s",\n      "licenseDeclared": "%s",\n      "copyrightText": "NOASSERTION"' "$4" "$4"
    if [ -n "$5" ]; then
        printf ',\n      "externalRefs": [\n        {\n          "referenceCategory": "PACKAGE-MANAGER",\n'
        printf '          "referenceType": "purl",\n          "referenceLocator": "%s"\n        }\n      ]' "$5"
    fi
    printf ',\n      "comment": "%s"\n    }' "$6"
}

relation() {
    printf '    {\n      "spdxElementId": "SPDXRef-%s",\n      "relationshipType": "%s",\n      "relatedSpdxElement": "SPDXRef-%s"\n    }' "$1" "$2" "$3"
}

llhttp_version() {
    local header=$llhttp/include/llhttp/llhttp.h part text=
    [ -f "$llhttp/llhttp/llhttp.c" ] && [ -f "$header" ] || fail "there are no sources of llhttp in $llhttp/llhttp"
    for part in MAJOR MINOR PATCH; do
        text+=.$(sed -nE "s/^#define LLHTTP_VERSION_$part ([0-9]+)\$/\\1/p" "$header")
    done
    [[ $text =~ ^(\.[0-9]+){3}$ ]] || fail "$header does not say its version"
    echo "${text#.}"
}

libraries=$(for file in "$@"; do needed "$file" || exit 1; done) || exit 1
libraries=$(sort -u <<<"$libraries")
declare -A real=()
while read -r name path; do
    real[$name]=$(realpath "$path")
done <<<"$libraries"
look_up "${real[@]}"

packages=$(package shs shs "$version" MIT "pkg:generic/shs@$version" "the command shs and the library libshs")
relations=$(relation DOCUMENT DESCRIBES shs)
while read -r name _; do
    id=$(tr -c 'A-Za-z0-9.\n-' - <<<"$name")
    read -r debian debian_version architecture <<<"$(owner "${real[$name]}")"
    if [ -n "$debian" ]; then
        packages+=$',\n'$(package "$id" "$debian" "$debian_version" NOASSERTION \
            "pkg:deb/debian/$(escaped "$debian")@$(escaped "$debian_version")?arch=$architecture" "shared library $name")
    else
        packages+=$',\n'$(package "$id" "$name" NOASSERTION NOASSERTION "" "shared library $name, of no Debian package")
    fi
    relations+=$',\n'$(relation shs DYNAMIC_LINK "$id")
done <<<"$libraries"
if [ -n "$llhttp" ]; then
    said=$(llhttp_version)
    packages+=$',\n'$(package llhttp llhttp "$said" MIT "pkg:github/nodejs/llhttp@v$said" "compiled in, from its generated C sources")
    relations+=$',\n'$(relation shs STATIC_LINK llhttp)
fi

# The namespace is to differ where the document does.
sum=$(printf '%s\n%s\n%s\n' "$created" "$packages" "$relations" | sha256sum | cut -c 1-32)
cat <<DOCUMENT
{
  "spdxVersion": "SPDX-2.3",
  "dataLicense": "CC0-1.0",
  "SPDXID": "SPDXRef-DOCUMENT",
  "name": "shs-$version",
  "documentNamespace": "https://securehttpserver.invalid/spdx/shs-$version-$sum",
  "creationInfo": {
    "created": "$created",
    "creators": [
      "Tool: shs-sbom-$version"
    ]
  },
  "packages": [
$packages
  ],
  "relationships": [
$relations
  ]
}
DOCUMENT
