#!/usr/bin/env bash
# instructions.sh - how many instructions a full handshake with its request, one with a client's
# certificate, a resumed one, and a request on a kept connection take in user space: here and in
# nginx, by callgrind. What the kernel does is not in it, and what else the machine does makes no
# difference.
#
#   bash bench/instructions.sh
set -u
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
[ $# -eq 0 ] || die "usage: bash bench/instructions.sh"
need valgrind openssl python3 cmake ninja
build_release
make_material
make_client

# under_callgrind COMMAND...: starts it, with pid and log set.
under_callgrind() {
    log=$work/callgrind.log
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" >"$work/said" 2>"$log" &
    pid=$!
    pids+=("$pid")
}

start_here() {
    port=$(free_port)
    under_callgrind "$build/bench/bench_server" --threading pool --port "$port" --cert "$work/cert.pem" \
        --key "$work/key.pem" --root "$work/www/f" --idle-ms 600000 ${asked:+--client-ca "$asked"}
}

start_asking() { asked=$work/client-ca.pem start_here; }

start_asking_nginx() {
    verify="ssl_client_certificate $work/client-ca.pem; ssl_verify_client on; ssl_verify_depth 3;" start_one_nginx
}

# One process, so that one callgrind sees it all.
start_one_nginx() {
    port=$(free_port)
    cat >"$work/one-nginx.conf" <<CONF
worker_processes 1; daemon off; master_process off; pid $work/one-nginx.pid; error_log $work/nginx.err;
events { worker_connections 1000; }
http { access_log off; keepalive_requests 1000000; server {
    listen 127.0.0.1:$port ssl; ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;
    ssl_protocols TLSv1.3; ssl_session_cache shared:s:10m; ${verify:-} root $work/www; } }
CONF
    under_callgrind nginx -c "$work/one-nginx.conf" -e "$work/nginx.err"
}

# collected START LOAD COUNT: instructions of a server's whole life under that load.
collected() {
    "$1" && wait_port "$port" || return
    case $2 in
    kept) yes '' | head -n "$3" | "$build/bench/load_client" hold "$port" /f/13 10 tls >/dev/null ;;
    mtls) CLIENT_PEM=$work/client.pem "$build/bench/load_client" close "$port" /f/13 "x$3" 1 full >/dev/null ;;
    *) "$build/bench/load_client" close "$port" /f/13 "x$3" 1 "$2" >/dev/null ;;
    esac
    kill "$pid"
    wait "$pid" 2>/dev/null
    sed -n 's/.*Collected : //p' "$log"
}

# per START LOAD: the difference of two lives, so that start and end are not in it. `kept` asks on each
# of ten connections.
per() {
    local few many units=100
    [ "$2" != kept ] || units=1000
    few=$(collected "$1" "$2" 10) many=$(collected "$1" "$2" 110)
    [ -n "$few" ] && [ -n "$many" ] || { echo "?"; return; }
    echo $(((many - few) / units))
}

echo "| instructions in user space | here | nginx |"
echo "| --- | ---: | ---: |"
declare -A name=([full]="full handshake + GET + close" [resumed]="resumed handshake + GET + close"
    [mtls]="full handshake with a client certificate + GET + close"
    [kept]="GET of 13 bytes on a kept connection")
for load in full mtls resumed kept; do
    nginx=- here=start_here peer=start_one_nginx
    [ "$load" != mtls ] || here=start_asking peer=start_asking_nginx
    command -v nginx >/dev/null && nginx=$(per "$peer" "$load")
    echo "| ${name[$load]} | $(per "$here" "$load") | $nginx |"
done
