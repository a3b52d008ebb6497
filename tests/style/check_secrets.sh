#!/usr/bin/env bash
# check_secrets.sh - no key and no certificate is in the tree: tests make their own.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# The words are put together here, or this file would find itself.
begin="-----BEGIN"
private="PRIVATE"" KEY"

check() {
    local file labelled
    while IFS= read -r file; do
        case $file in
        *.pem | *.key | *.crt | *.cer | *.der | *.p12 | *.pfx | *.jks | *.p8 | *.csr | *.srl)
            fault "$file    <- keys and certificates are made, not kept"
            ;;
        esac
    done < <(tree_files)
    # One grep over all of them finds those to look at: a process for each file would take ten seconds.
    labelled=$(tree_files | (cd "$tree" && tr '\n' '\0' | xargs -0r grep -laE -e "$begin |$private" --) || true)
    while IFS= read -r file; do
        [ -n "$file" ] || continue
        # A label alone is not a secret, nor is nonsense behind it; sixty characters of base64 are.
        if grep -aA 12 -E -e "$begin [A-Z0-9 ]*($private|CERTIFICATE)" "$tree/$file" |
            grep -qaE '[A-Za-z0-9+/]{60}'; then
            fault "$file    <- has a PEM block in it"
        elif [[ ! $file =~ ^(src/(tls|certs)|tests/(unit|integration))/ ]] &&
            grep -qaF -e "$private" "$tree/$file"; then
            # Who reads PEM has to know the label, and the tests of that; nobody else has to.
            fault "$file    <- says '$private'"
        fi
    done <<<"$labelled"
}

self_test() {
    local payload
    payload=$(printf 'MIIBhTCCASug%.0s' 1 2 3 4 5 6)
    put src/a.c <<<'int x;'
    expect good "a tree without secrets"
    put certs/server.pem <<<'x'
    expect bad "a .pem file"
    put certs/a.txt <<<"$begin CERTIFICATE-----"$'\n'"$payload"
    expect bad "a certificate under another name"
    put tests/unit/a.c <<<"static const char key[] = \"$begin EC $private-----\\n\""$'\n'"\"$payload\\n\";"
    expect bad "a key in a test"
    put src/tls/a.c <<<"int key = strcmp(label, \"$private\") == 0;"
    put tests/unit/a.c <<<"static const char bad[] = \"$begin CERTIFICATE-----\\nnonsense\\n\";"
    expect good "labels, where PEM is read"
    put src/a.c <<<"const char *k = \"$private\";"
    expect bad "a key's label in another source"
}

style_main "$@"
