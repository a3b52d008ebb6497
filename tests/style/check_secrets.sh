#!/usr/bin/env bash
# check_secrets.sh - no key and no certificate is in the tree: tests make their own.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# The words are put together here, or this file would find itself.
begin="-----BEGIN"
private="PRIVATE"" KEY"

check() {
    local file
    while IFS= read -r file; do
        case $file in
        *.pem | *.key | *.crt | *.cer | *.der | *.p12 | *.pfx | *.jks | *.p8 | *.csr | *.srl)
            fault "$file    <- keys and certificates are made, not kept"
            ;;
        esac
        if grep -qaE -e "$begin [A-Z0-9 ]*($private|CERTIFICATE)" "$tree/$file"; then
            fault "$file    <- has a PEM block in it"
        elif [[ $file != src/tls/*.c && $file != src/certs/*.c ]] && grep -qaF -e "$private" "$tree/$file"; then
            # Who reads PEM has to know the label; nobody else has to.
            fault "$file    <- says '$private'"
        fi
    done < <(tree_files)
}

self_test() {
    put src/a.c <<<'int x;'
    expect good "a tree without secrets"
    put certs/server.pem <<<'x'
    expect bad "a .pem file"
    put certs/a.txt <<<"$begin CERTIFICATE-----"
    expect bad "a certificate under another name"
    put certs/a.txt <<<"$begin EC $private-----"
    expect bad "a key under another name"
    put src/tls/a.c <<<"int key = strcmp(label, \"$private\") == 0;"
    expect good "a reader of PEM that knows the label"
    put src/tls/a.c <<<"const char *k = \"$begin $private-----\";"
    expect bad "a key in a source"
    put src/a.c <<<"const char *k = \"$private\";"
    expect bad "a key's label in a source"
}

style_main "$@"
