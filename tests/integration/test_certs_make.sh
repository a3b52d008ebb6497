#!/usr/bin/env bash
# test_certs_make.sh - the lab that certs/make.sh makes is what its README says.
set -euo pipefail

# Like grep -q, but reads to the end: a command before it that gets SIGPIPE would count as failed.
has() {
    grep "$@" >/dev/null
}

src=${SHS_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}
command -v openssl >/dev/null || {
    echo "skipped: there is no openssl command"
    exit 77
}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
lab=$tmp/sub/lab
faults=0

fault() {
    echo "FAULT: $*"
    faults=$((faults + 1))
}

# accepts NAME | refuses NAME WORDS: what a client that trusts ca.pem thinks of it.
verify() {
    openssl verify -CAfile "$lab/ca.pem" -purpose "${2:-sslserver}" -verify_hostname "${3:-localhost}" \
        -x509_strict "$lab/$1.pem" 2>&1
}
accepts() {
    verify "$@" >"$tmp/out" || fault "$1 is not accepted: $(cat "$tmp/out")"
}
refuses() {
    if verify "$1" >"$tmp/out"; then
        fault "$1 is accepted"
    elif ! grep -q -- "$2" "$tmp/out"; then
        fault "$1 is refused, but not for '$2': $(cat "$tmp/out")"
    fi
}
# matches CERT KEY: they belong together.
matches() {
    [ "$(openssl x509 -in "$lab/$1" -noout -pubkey)" = \
        "$(openssl pkey -in "$lab/$2" -passin pass:lab -pubout 2>/dev/null)" ]
}

said=$("$src/certs/make.sh" "$lab")
[ "$said" = "$lab" ] || fault "it says '$said' instead of the directory's name"

accepts good
accepts rsa
accepts good-both
refuses expired "certificate has expired"
refuses not-yet-valid "not yet valid"
refuses wrong-name "ostname mismatch"
refuses untrusted "unable to get local issuer"
refuses wrong-usage "unsuitable certificate purpose"
refuses self-signed "self-signed certificate"
openssl verify -CAfile "$lab/ca.pem" -verify_ip ::1 "$lab/good.pem" >/dev/null || fault "good lacks ::1"
openssl verify -CAfile "$lab/ca.pem" -purpose sslclient "$lab/client.pem" >/dev/null ||
    fault "client is not accepted"

for cert in "$lab"/*.pem; do
    name=$(basename "$cert" .pem)
    if [ -e "$lab/$name.key" ] && ! matches "$name.pem" "$name.key"; then
        fault "$name.pem and $name.key do not match"
    fi
done
! matches good.pem mismatched.key || fault "mismatched.key belongs to good.pem"
matches good.pem encrypted.key || fault "encrypted.key is not good.key"
! openssl pkey -in "$lab/encrypted.key" -passin pass:wrong -noout 2>/dev/null ||
    fault "encrypted.key opens with any password"
! openssl x509 -in "$lab/malformed.pem" -noout 2>/dev/null || fault "malformed.pem can be read"
[ -e "$lab/empty.pem" ] && [ ! -s "$lab/empty.pem" ] || fault "empty.pem is not empty"
openssl x509 -in "$lab/good.der" -inform DER -noout || fault "good.der is not DER"
openssl pkey -in "$lab/rsa.key" -noout -text | has "2048 bit" || fault "rsa.key is not RSA 2048"

for file in "$lab"/*.key "$lab"/*-both.pem; do
    [ "$(stat -c %a "$file")" = 600 ] || fault "others may read $file"
done
[ "$(ls -A "$tmp/sub")" = lab ] || fault "something was left beside the lab: $(ls -A "$tmp/sub")"

# A second time: it says why not, and touches nothing.
before=$(cksum "$lab/good.key")
if "$src/certs/make.sh" "$lab" 2>"$tmp/out"; then
    fault "it overwrites a lab"
fi
grep -q "exists already" "$tmp/out" || fault "it does not say why: $(cat "$tmp/out")"
[ "$before" = "$(cksum "$lab/good.key")" ] || fault "good.key has changed"

# A place that git watches is refused; one that it ignores is not.
if command -v git >/dev/null; then
    git init -q "$tmp/repo"
    if "$src/certs/make.sh" "$tmp/repo/lab" 2>"$tmp/out"; then
        fault "it makes keys where git watches"
    fi
    grep -q "git work tree" "$tmp/out" || fault "it does not say why: $(cat "$tmp/out")"
    echo /ignored/ >"$tmp/repo/.gitignore"
    "$src/certs/make.sh" "$tmp/repo/ignored/lab" >/dev/null || fault "it refuses an ignored place"
fi

[ "$faults" -eq 0 ] || {
    echo "$faults faults"
    exit 1
}
echo "the lab is as it should be"
