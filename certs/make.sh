#!/usr/bin/env bash
# make.sh DIR - makes a test lab in DIR: a CA, good certificates, and every common bad one.
#
# DIR must not exist yet, or be empty. It is complete or not there: everything is made beside it and
# moved. See README.md for what is in it. The keys are for tests on this machine and for nothing else.
set -euo pipefail

die() {
    printf 'make.sh: %s\n' "$*" >&2
    exit 1
}

[ $# -eq 1 ] && [ -n "$1" ] || die "usage: certs/make.sh DIR"
[[ $1 != -* ]] || die "there is no option $1; usage: certs/make.sh DIR"
command -v openssl >/dev/null || die "the openssl command is not there: apt install openssl"
case $(openssl version) in
"OpenSSL 3."* | "OpenSSL "[4-9].*) ;;
*) die "OpenSSL 3.0 or later is needed, and this is $(openssl version)" ;;
esac

dir=${1%/}
if [ -e "$dir" ] && { [ ! -d "$dir" ] || [ -n "$(ls -A "$dir")" ]; }; then
    die "$dir exists already and is not an empty directory: remove it, or name another one"
fi
mkdir -p "$(dirname "$dir")"
dir=$(cd "$(dirname "$dir")" && pwd)/$(basename "$dir")

# Keys are never committed: a place that git watches is refused.
if command -v git >/dev/null && git -C "$(dirname "$dir")" rev-parse --is-inside-work-tree \
    >/dev/null 2>&1 && ! git -C "$(dirname "$dir")" check-ignore -q "$dir/any.key"; then
    die "$dir is in a git work tree that does not ignore it: choose a place in build/, or outside"
fi

umask 077
work=$(mktemp -d "$dir.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir lab ca
: >ca/index.txt
log=$work/openssl.log

# run COMMAND...: quiet, and its words only if it fails.
run() {
    if ! "$@" >"$log" 2>&1 </dev/null; then
        cat "$log" >&2
        die "failed: $*"
    fi
}

# This file alone: the system's own openssl.cnf must not change what is made.
export OPENSSL_CONF=$work/openssl.cnf
cat >"$OPENSSL_CONF" <<'CNF'
[req]
distinguished_name = dn
prompt = no
[dn]
CN = lab
[ca]
default_ca = lab_ca
[lab_ca]
database = ca/index.txt
new_certs_dir = ca
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
[any]
commonName = supplied
[ext_ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[ext_leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
CNF

# when DAYS: that many days from now, as openssl ca wants it.
when() {
    date -u -d "$1 days" +%Y%m%d%H%M%SZ
}

# key NAME [ec|rsa]
key() {
    case ${2:-ec} in
    ec) run openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "lab/$1.key" ;;
    rsa) run openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "lab/$1.key" ;;
    esac
}

# authority NAME: a root of its own.
authority() {
    key "$1"
    run openssl req -new -x509 -sha256 -days 3650 -key "lab/$1.key" -out "lab/$1.pem" \
        -subj "/CN=shs test lab $1" -extensions ext_ca
}

# leaf NAME KEY CA USAGE NAMES FROM-DAYS TO-DAYS: NAME.pem for KEY.key, signed by CA.
leaf() {
    {
        sed -n '/^\[ext_leaf\]/,$p' "$OPENSSL_CONF"
        printf 'extendedKeyUsage = %s\nsubjectAltName = %s\n' "$4" "$5"
    } >ext.cnf
    run openssl req -new -key "lab/$2.key" -subj "/CN=$1" -out request.csr
    run openssl ca -batch -notext -in request.csr -out "lab/$1.pem" -cert "lab/$3.pem" \
        -keyfile "lab/$3.key" -extfile ext.cnf -extensions ext_leaf \
        -startdate "$(when "$6")" -enddate "$(when "$7")"
}

here=DNS:localhost,IP:127.0.0.1,IP:::1

authority ca
authority other-ca

key good
leaf good good ca serverAuth "$here" -1 90
cat lab/good.pem lab/good.key >lab/good-both.pem
cat lab/good.pem lab/ca.pem >lab/good-chain.pem

key rsa rsa
leaf rsa rsa ca serverAuth "$here" -1 90

key expired
leaf expired expired ca serverAuth "$here" -90 -1
key not-yet-valid
leaf not-yet-valid not-yet-valid ca serverAuth "$here" 30 90
key wrong-name
leaf wrong-name wrong-name ca serverAuth "DNS:wrong.example" -1 90
key untrusted
leaf untrusted untrusted other-ca serverAuth "$here" -1 90
key wrong-usage
leaf wrong-usage wrong-usage ca clientAuth "$here" -1 90

key self-signed
run openssl req -new -x509 -sha256 -days 90 -key lab/self-signed.key -out lab/self-signed.pem \
    -subj "/CN=localhost" -addext "subjectAltName=$here"

key client
leaf client client ca clientAuth "email:client@lab.example" -1 90
key client-expired
leaf client-expired client-expired ca clientAuth "email:client@lab.example" -90 -1
key client-untrusted
leaf client-untrusted client-untrusted other-ca clientAuth "email:client@lab.example" -1 90

# What a server must refuse to load, each with a sentence.
key mismatched
run openssl pkcs8 -topk8 -v2 aes-256-cbc -passout pass:lab -in lab/good.key -out lab/encrypted.key
cat lab/good.pem lab/encrypted.key >lab/encrypted-both.pem
: >lab/empty.pem
printf 'This is not PEM.\n' >lab/not-pem.pem
sed '2s/.*/AAAABBBBCCCC/' lab/good.pem >lab/malformed.pem
run openssl x509 -in lab/good.pem -outform DER -out lab/good.der

chmod 0644 lab/*.pem
chmod 0600 lab/*-both.pem
if [ -d "$dir" ]; then
    rmdir "$dir"
fi
mv lab "$dir"
printf '%s\n' "$dir"
