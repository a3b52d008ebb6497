#!/usr/bin/env bash
# check_style.sh - what may not be written: unsafe calls, stray allocations, the wrong include.
source "$(dirname "${BASH_SOURCE[0]}")/style.sh"

# Calls that overflow, keep hidden state, or cannot say that they failed.
banned='strcpy|strcat|stpcpy|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|alloca|rand|srand|signal|tmpnam'
# Besides these, in the library: whatever ends, prints, looks at the environment of its host, or is
# not safe from any thread.
library_banned='exit|abort|assert|printf|puts|putchar|perror|getenv|setenv|putenv|unsetenv|sigaction|atexit|system|popen|gmtime|localtime|ctime|asctime|strerror|gethostbyname|inet_ntoa|OPENSSL_cleanup'
allocators='malloc|calloc|realloc|reallocarray|free|strdup|strndup|asprintf|vasprintf'

# The rooms, from the ground up: ROOM: the rooms it may include. A room may include itself.
# handler/ has what everybody has: the public headers, and memory and strings of base/.
layers='
base:
stream: base
server: base stream
http: base stream
tls: base stream server
http_server: base stream server http
handler: base
certs: base stream
lab: base stream server http http_server tls handler certs
access: base tls
admin: base stream server http http_server tls handler certs access
testing: base stream server http http_server tls handler certs lab
'

# calls NAMES: lines of code on stdin that call one of them; a member or a longer name is another.
calls() {
    grep -E "(^[^:]*:[0-9]+:|[^A-Za-z0-9_.>])($1)[[:space:]]*\(" || true
}

check_calls() {
    local code=$work/code
    sources src include tests/unit fuzz examples bench | (cd "$tree" && xargs -r awk -f "$style_dir/code_only.awk") >"$code"
    calls "$banned" <"$code" | fault_lines "a banned call"
    grep -E '^(src|include)/' "$code" | grep -vE '^src/cmd/' >"$code.lib" || true
    calls "$library_banned" <"$code.lib" |
        fault_lines "not in the library: it ends, prints, reads the environment, or shares state"
    grep -E '^src/' "$code" | grep -vE '^src/base/memory\.c:' >"$code.src" || true
    calls "$allocators" <"$code.src" | fault_lines "memory comes from shs__malloc & co (base/base.h)"
}

check_text() {
    local files
    files=$(sources src include tests/unit fuzz examples bench cmake)
    [ -n "$files" ] || return 0
    (cd "$tree" && xargs awk -v mode=slashes -f "$style_dir/code_only.awk" <<<"$files") |
        fault_lines "comments are /* like this */"
    (cd "$tree" && xargs grep -HnE '\<(TODO|FIXME|XXX|HACK)\>' <<<"$files" || true) |
        fault_lines "finish it, or open an issue"
    (cd "$tree" && xargs grep -HnE $'\t' <<<"$files" || true) | fault_lines "indent with spaces"
    (cd "$tree" && xargs grep -HnE ' +$' <<<"$files" || true) | fault_lines "spaces at the end of a line"
    (cd "$tree" && xargs grep -HnE '^.{101,}$' <<<"$files" || true) | fault_lines "more than 100 columns"
    (cd "$tree" && xargs grep -HnE '#[[:space:]]*include[[:space:]]*"\.\.?/' <<<"$files" || true) |
        fault_lines 'includes are relative to src/: "room/file.h"'
}

check_includes() {
    local room allowed included file
    # OpenSSL stays behind the rooms that are about it.
    sources src include examples | grep -vE '^src/(tls|certs|lab|testing)/' |
        (cd "$tree" && xargs -r grep -HnE '#[[:space:]]*include[[:space:]]*<openssl/' || true) |
        fault_lines "only src/tls, src/certs, src/lab and src/testing include OpenSSL"
    sources src include examples | grep -vE '^src/http/parser\.[ch]$' |
        (cd "$tree" && xargs -r grep -HnE '#[[:space:]]*include[[:space:]]*<llhttp' || true) |
        fault_lines "llhttp stays behind src/http/parser.h"
    sources src/http | (cd "$tree" && xargs -r grep -HnE '#[[:space:]]*include[[:space:]]*<(sys/socket|netinet/.*|poll|sys/epoll)\.h>' || true) |
        fault_lines "HTTP knows no sockets, only shs_stream"

    while IFS=: read -r room allowed; do
        [ -n "$room" ] || continue
        for file in $(sources "src/$room"); do
            while IFS= read -r included; do
                case " $room $allowed " in
                *" ${included%%/*} "*) ;;
                *) fault "$file includes \"$included\"    <- src/$room may include:${allowed:- itself only}" ;;
                esac
            done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]*)".*/\1/p' "$tree/$file")
        done
    done <<<"$layers"

    # Nothing below includes the command, and a new room has to be given its floor.
    for file in $(sources src | grep -vE '^src/cmd/'); do
        sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"(cmd\/[^"]*)".*/\1/p' "$tree/$file" |
            fault_lines "included by $file: the library does not know the command"
    done
    for room in $(sources src | sed -nE 's,^src/([^/]+)/.*,\1,p' | sort -u); do
        [ "$room" = cmd ] || grep -q "^$room:" <<<"$layers" ||
            fault "src/$room/    <- a room without a floor: add it to the list in check_style.sh"
    done
}

check() {
    work=$(mktemp -d)
    check_calls
    check_text
    check_includes
    rm -rf "$work"
}

self_test() {
    local name

    put src/base/memory.c <<<'void *f(void) { return malloc(1); } /* strcpy(a, b) is banned */'
    put src/tls/a.c <<<$'#include <openssl/ssl.h>\n#include "stream/stream.h"\nconst char *u = "https://x//y";'
    put src/server/ok.c <<<$'int f(void)\n{\n    return o->free(o) + shs__free(p) + x_signal(1);\n}'
    expect good "code that only talks about what is banned"

    # One fault a file, and every file must be named.
    for name in strcpy strcat sprintf strtok atoi gets alloca rand signal; do
        put "src/base/call_$name.c" <<<"int f(void) { return $name(x); }"
    done
    for name in malloc calloc realloc free strdup; do
        put "src/cmd/$name.c" <<<"int f(void) { return (int)$name (x); }"
        put "src/base/$name.c" <<<"int f(void) { return (int)$name(x); }"
    done
    for name in exit abort printf getenv sigaction; do
        put "src/http/$name.c" <<<"void f(void) { $name(x); }"
    done
    for name in TODO FIXME XXX HACK; do
        put "src/http/$name.c" <<<"/* $name later */"
    done
    put src/http/slashes.c <<<'int f(void); // no'
    put src/http/slashes_after_a_string.c <<<'const char *u = "a"; // "no"'
    put src/http/tab.c <<<$'int f(void)\n{\n\treturn 0;\n}'
    put src/http/blank_at_the_end.c <<<'int f(void); '
    put src/http/line_of_126.c <<<"/* $(printf '%0120d' 0) */"
    put src/http/up.c <<<'#include "../base/base.h"'
    put src/http/knows_sockets.c <<<'#include <sys/socket.h>'
    put src/http/above_the_server.c <<<'#include "server/conn.h"'
    put src/http/above_tls.c <<<'#include "tls/wire/stream.h"'
    put src/server/has_openssl.c <<<'#include <openssl/ssl.h>'
    put src/server/has_llhttp.c <<<'#include <llhttp.h>'
    put src/server/above_tls.c <<<'#include "tls/wire/stream.h"'
    put src/server/above_http.c <<<'#include "http/parser.h"'
    put src/base/above_stream.c <<<'#include "stream/stream.h"'
    put src/handler/knows_the_command.c <<<'#include "cmd/cmd.h"'
    put src/handler/knows_the_exchange.c <<<'#include "http/exchange.h"'
    put src/handler/knows_connections.c <<<'#include "server/conn.h"'
    expect_each_bad
    put src/attic/a.c <<<'int x;'
    expect bad "a room without a floor"
}

style_main "$@"
