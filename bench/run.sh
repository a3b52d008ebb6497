#!/usr/bin/env bash
# run.sh - the whole table: this library beside nginx, h2o, lighttpd, haproxy, Go's net/http and
# Python's http.server. One certificate, TLS 1.3, the same files; all servers run side by side and
# are loaded in turns; medians over the rounds, and the ratio to the best peer of the same run.
#
#   bash bench/run.sh [--rounds N] [--seconds N] [--cases a,b,...] [--servers a,b,...] [--out DIR]
#
#   cases    keepalive many full mtls resumed 16k 1m 100m idle idle10k blocking flat threads
#   servers  pool thread nginx h2o lighttpd haproxy go python
#
# Writes DIR/results.json and DIR/results.png (gnuplot) and prints the table in Markdown. A peer
# that is not installed is left out, and named.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$bench/peers.sh"

rounds=3 seconds=3 out=$root/build/bench-results
cases=keepalive,many,full,resumed,16k,1m,100m,idle,blocking
servers=pool,thread,nginx,h2o,lighttpd,haproxy,go,python
while [ $# -gt 1 ]; do
    case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --cases) cases=$2 ;;
    --servers) servers=$2 ;;
    --out) out=$2 ;;
    *) die "unknown option $1" ;;
    esac
    shift 2
done
need wrk openssl python3 ninja cmake curl
build_release
make_material
head -c 104857600 /dev/urandom >"$work/www/f/100m"
mkdir -p "$out"
ulimit -n "$(ulimit -Hn)"
: >"$out/rows.txt"

declare -A pid_of port_of
for server in ${servers//,/ }; do
    if ! start_peer "$server"; then
        note "$server does not start here: left out"
        continue
    fi
    pid_of[$server]=$pid port_of[$server]=$port
    got=$(curl -sk --max-time 10 "https://127.0.0.1:$port/f/13")
    [ "$got" = 'Hello, world' ] || { note "$server answers /f/13 with '$got': left out"; unset "pid_of[$server]"; }
done

# row CASE SERVER METRIC VALUE
row() { echo "$*" >>"$out/rows.txt"; }

# serves SERVER CASE: what a peer cannot do, or what would only measure its limits.
serves() {
    case $1:$2 in
    haproxy:16k | haproxy:1m | haproxy:100m) return 1 ;; # it has no files
    python:many | python:1m | python:100m | python:idle*) return 1 ;; # a thread or a process each
    thread:many | thread:idle*) return 1 ;;              # max_threads
    esac
    [ -n "${pid_of[$1]:-}" ]
}

# wrk_case CASE SERVER CONNECTIONS PATH [SIZE]: with SIZE, what counts is the bytes that came, not the
# answers that were complete, of which there are few.
wrk_case() {
    local before after text p=${pid_of[$2]} t=${port_of[$2]}
    before=$(cpu_us "$p")
    text=$(timeout $((seconds + 20)) wrk -t2 -c"$3" -d"${seconds}s" --timeout 15s --latency "https://127.0.0.1:$t$4" 2>&1)
    after=$(cpu_us "$p")
    grep -E 'Non-2xx|Socket errors' <<<"$text" | sed "s/^/bench: $2 $1: /" >&2
    eval "$(awk -v size="${5:-}" '
        function us(x) { return x ~ /us$/ ? x + 0 : x ~ /ms$/ ? x * 1000 : x * 1e6 }
        function bytes(x) { return x * (x ~ /GB/ ? 1073741824 : x ~ /MB/ ? 1048576 : x ~ /KB/ ? 1024 : 1) }
        /requests in/ { print "n=" (size ? bytes($5 $6) / size : $1) } /^ *50%/ { print "p50=" us($2) } /^ *99%/ { print "p99=" us($2) }
        /^Requests\/sec/ { print "rate=" $2 } BEGIN { print "n=0\np50=0\np99=0\nrate=0" }' <<<"$text")"
    [ "${n%.*}" != 0 ] || { note "$2 $1: no answer"; return; }
    row "$1" "$2" cpu_us "$(awk -v d=$((after - before)) -v n="$n" 'BEGIN { print d / n }')"
    row "$1" "$2" p50_us "$p50"
    row "$1" "$2" p99_us "$p99"
    row "$1" "$2" rate "$rate"
}

# close_case CASE SERVER full|resumed
close_case() {
    local before after n e r s p=${pid_of[$2]}
    before=$(cpu_us "$p")
    read -r n e r s < <("$build/bench/load_client" close "${port_of[$2]}" /f/13 "$seconds" 8 "$3")
    after=$(cpu_us "$p")
    [ "${n:-0}" -gt 0 ] || { note "$2 $1: no answer"; return; }
    [ "$e" = 0 ] || note "$2 $1: $e errors"
    [ "$3" = full ] || [ "$r" -gt $((n / 2)) ] || note "$2 $1: only $r of $n were resumed"
    row "$1" "${2#mtls-}" cpu_us "$(awk -v d=$((after - before)) -v n="$n" 'BEGIN { print d / n }')"
    row "$1" "${2#mtls-}" rate "$(awk -v n="$n" -v s="$s" 'BEGIN { print n / s }')"
}

# Full handshakes of clients with a certificate, and one CA between it and the CA that is trusted.
mtls_case() {
    [[ $1 == pool || $1 == thread || $1 == nginx || $1 == haproxy ]] || return
    [ -e "$work/client.pem" ] || make_client
    if [ -z "${pid_of[mtls-$1]:-}" ]; then
        client_ca=$work/client-ca.pem start_peer "$1" || return
        pid_of[mtls-$1]=$pid port_of[mtls-$1]=$port
    fi
    CLIENT_PEM=$work/client.pem close_case mtls "mtls-$1" full
}

# idle_case CASE SERVER COUNT: a fresh server; growth per connection that is held open, and how soon
# a request on any of them is answered.
idle_case() {
    local a b held holder answer
    start_peer "$2" || return
    "$build/bench/load_client" close "$port" /f/13 x20 2 full >/dev/null
    a=$(pss_kib "$pid")
    rm -f "$work/hold.in" "$work/hold.out"
    mkfifo "$work/hold.in"
    "$build/bench/load_client" hold "$port" /f/13 "$3" tls <"$work/hold.in" >"$work/hold.out" &
    holder=$!
    exec 9>"$work/hold.in"
    for _ in $(seq 900); do [ -s "$work/hold.out" ] && break; sleep 0.1; done
    sleep 3
    b=$(pss_kib "$pid")
    read -r _ held _ <"$work/hold.out"
    row "$1" "$2" threads "$(threads_of "$pid")"
    echo >&9
    for _ in $(seq 300); do [ "$(wc -l <"$work/hold.out")" -ge 2 ] && break; sleep 0.1; done
    answer=$(sed -n 2p "$work/hold.out")
    exec 9>&-
    wait "$holder"
    stop_one "$pid"
    row "$1" "$2" held "${held:-0}"
    row "$1" "$2" kib "$(awk -v d=$((b - a)) -v n="$3" 'BEGIN { print d / n }')"
    row "$1" "$2" p99_us "$(awk '{ print $2 }' <<<"$answer")"
    [ "$(awk '{ print $4 }' <<<"$answer")" = 0 ] || note "$2 $1: not all of the connections were kept: $answer"
}

# A tenth of the connections ask for an answer that takes 100 ms; the rest as always.
blocking_case() {
    local slow
    [[ $1 == pool || $1 == thread ]] || return
    wrk_case blocking-none "$1" 58 /
    timeout $((seconds + 20)) wrk -t1 -c6 -d$((seconds + 1))s "https://127.0.0.1:${port_of[$1]}/block/100" >/dev/null &
    slow=$!
    wrk_case blocking "$1" 58 /
    wait "$slow"
}

# 100,000 connections, each with its handshake: threads and memory before and after.
flat_case() {
    local a b
    [[ $1 == pool || $1 == thread ]] || return
    "$build/bench/load_client" close "${port_of[$1]}" /f/13 x2000 8 resumed >/dev/null
    a=$(rss_kib "${pid_of[$1]}")
    row flat "$1" threads_before "$(threads_of "${pid_of[$1]}")"
    "$build/bench/load_client" close "${port_of[$1]}" /f/13 x100000 8 resumed >/dev/null
    b=$(rss_kib "${pid_of[$1]}")
    sleep 1
    row flat "$1" threads "$(threads_of "${pid_of[$1]}")"
    row flat "$1" rss_before_kib "$a"
    row flat "$1" rss_kib "$b"
}

run_case() {
    case $1 in
    keepalive) wrk_case keepalive "$2" 64 /f/13 ;;
    many) wrk_case many "$2" 3500 /f/13 ;;
    full | resumed) close_case "$1" "$2" "$1" ;;
    mtls) mtls_case "$2" ;;
    16k) wrk_case 16k "$2" 64 /f/16k ;;
    1m) wrk_case 1m "$2" 8 /f/1m 1048576 ;;
    100m) wrk_case 100m "$2" 2 /f/100m 104857600 ;;
    idle) idle_case idle "$2" 3500 ;;
    idle10k) idle_case idle10k "$2" 10000 ;;
    blocking) blocking_case "$2" ;;
    flat) flat_case "$2" ;;
    *) die "there is no case $1" ;;
    esac
}

for case in ${cases//,/ }; do
    turns=$rounds
    [[ $case == idle* || $case == flat ]] && turns=1
    for _ in $(seq "$turns"); do
        for server in ${servers//,/ }; do
            serves "$server" "$case" && run_case "$case" "$server"
        done
    done
    note "$case is measured"
done
python3 "$bench/report.py" "$out/rows.txt" "$out" "$rounds" "$seconds"
