#!/usr/bin/env bash
# run.sh - the whole table: this library beside nginx, h2o, lighttpd, haproxy, Go's net/http and
# Python's http.server. One certificate, TLS 1.3, the same files; all servers run side by side and
# are loaded in turns; medians over the rounds, and the ratio to the best peer of the same run.
#
#   bash bench/run.sh [--rounds N] [--seconds N] [--cases a,b,...] [--servers a,b,...] [--out DIR]
#                     [--tree DIR]
#
#   tree     the servers of another release of Debian, which debootstrap has put into DIR: peers and shs
#            are the packages that are installed there, with its libraries; go and python stay this one's
#   cases    keepalive many full mtls resumed 16k 1m 100m idle idle10k idleplain blocking accounting
#            flat sleep burst slow
#   servers  pool direct thread nginx h2o lighttpd haproxy go python; pool keeps its records with libssl,
#            direct is the same with --tls-records direct
#
# Writes DIR/results.json and DIR/results.png (gnuplot) and prints the table in Markdown. A peer
# that is not installed is left out, and named; as root the peers are installed from Debian first.
set -u
exec < /dev/null
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$bench/peers.sh"

rounds=3 seconds=3 out=$root/build/bench-results
cases=keepalive,many,full,resumed,16k,1m,100m,idle,idle10k,idleplain,blocking,accounting,sleep,burst,slow
servers=pool,direct,thread,nginx,h2o,lighttpd,haproxy,go,python
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    esac
    [ $# -gt 1 ] || die "$1: unknown, or its value is missing; try --help"
    case $1 in
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --cases) cases=$2 ;;
    --servers) servers=$2 ;;
    --out) out=$2 ;;
    --tree) use_tree "$2" ;;
    *) die "unknown option $1; try --help" ;;
    esac
    shift 2
done
# What is missing then is named below, and left out.
[ "$(id -u)" != 0 ] || bash "$root/packaging/debian.sh" install bench >"$work/apt.log" 2>&1 || note "not all of Debian's packages could be installed"
need openssl python3 ninja cmake curl
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
    thread:many | thread:idle* | thread:slow) return 1 ;; # max_threads
    direct:idleplain | direct:mtls) return 1 ;; # the same as pool's
    haproxy:slow) return 1 ;; # it has no files
    python:slow) return 1 ;;
    *:sleep | *:burst | *:blocking | *:accounting) [ -z "$tree" ] || return 1 ;;& # programs of this build
    *:sleep | *:burst) [[ $1 == pool || $1 == thread || $1 == go ]] || return 1 ;; # others run no handlers
    *:idleplain | *:accounting) [ "$1" = pool ] || return 1 ;; # only ours
    esac
    [ -n "${pid_of[$1]:-}" ]
}

# load_case CASE SERVER CONNECTIONS PATH [SIZE [SLOW_PATH PERCENT]]: all connections are made before
# anything is measured. With SIZE, what counts is the bytes that came, not the answers that were
# complete, of which there may be few.
load_case() {
    local before after ready results n errors bytes p50 p99 max client s p=${pid_of[$2]} server=${2#*-}
    coproc LOAD { exec timeout $((seconds + 120)) "$build/bench/load_client" load "${port_of[$2]}" "$4" "$seconds" "$3" 2 tls "${@:6}"; }
    local load_pid=$LOAD_PID from=${LOAD[0]} to=${LOAD[1]}
    read -r ready <&"$from" || { note "$2 $1: the client did not get so far"; return; }
    before=$(cpu_us "$p")
    echo go >&"$to"
    read -r results <&"$from"
    after=$(cpu_us "$p")
    wait "$load_pid" 2>/dev/null
    read -r n errors bytes p50 p99 max client s <<<"$results"
    [ "${errors:-1}" = 0 ] || note "$2 $1: ${errors:-?} connections failed or had a wrong answer"
    row "$1" "$server" errors "${errors:-1}"
    [ -z "${5:-}" ] || n=$(awk -v b="$bytes" -v size="$5" 'BEGIN { print b / size }')
    awk -v n="${n:-0}" 'BEGIN { exit !(n > 0) }' || { note "$2 $1: no answer"; return; }
    row "$1" "$server" cpu_us "$(awk -v d=$((after - before)) -v n="$n" 'BEGIN { print d / n }')"
    row "$1" "$server" p50_us "$p50"
    row "$1" "$server" p99_us "$p99"
    row "$1" "$server" max_us "$max"
    row "$1" "$server" rate "$(awk -v n="$n" -v s="$s" 'BEGIN { print n / s }')"
    row "$1" "$server" connect_s "$(awk '{ print $3 }' <<<"$ready")"
    row "$1" "$server" client_share "$(awk -v c="$client" -v s="$s" -v cores="$(nproc)" 'BEGIN { print c / 1e6 / s / cores }')"
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

# idle_case CASE SERVER COUNT [tls|plain SERVER_OPTIONS...]: a fresh server; growth per connection that is held open, and how soon
# a request on any of them is answered.
idle_case() {
    local a b held holder answer threads kind=${4:-tls} warm=full
    [ "$kind" = tls ] || warm=plain
    start_peer "$2" "${@:5}" || return
    "$build/bench/load_client" close "$port" /f/13 x20 2 "$warm" >/dev/null
    a=$(pss_kib "$pid")
    rm -f "$work/hold.in" "$work/hold.out"
    mkfifo "$work/hold.in"
    "$build/bench/load_client" hold "$port" /f/13 "$3" "$kind" <"$work/hold.in" >"$work/hold.out" &
    holder=$!
    exec 9>"$work/hold.in"
    for _ in $(seq 900); do [ -s "$work/hold.out" ] && break; sleep 0.1; done
    sleep 3
    b=$(pss_kib "$pid")
    read -r _ held _ <"$work/hold.out"
    [ "$1" != idle10k ] || sleep 9 # who came for the crowd leaves
    threads=$(threads_of "$pid")
    echo >&9
    for _ in $(seq 300); do [ "$(wc -l <"$work/hold.out")" -ge 2 ] && break; sleep 0.1; done
    answer=$(sed -n 2p "$work/hold.out")
    exec 9>&-
    wait "$holder"
    stop_one "$pid"
    [ "${held:-0}" = "$3" ] || { note "$2 $1: ${held:-none} of $3 connections were held: left out"; return; }
    row "$1" "$2" threads "$threads"
    row "$1" "$2" held "$held"
    row "$1" "$2" kib "$(awk -v d=$((b - a)) -v n="$3" 'BEGIN { print d / n }')"
    row "$1" "$2" p99_us "$(awk '{ print $2 }' <<<"$answer")"
    row "$1" "$2" max_us "$(awk '{ print $3 }' <<<"$answer")"
    [ "$(awk '{ print $4 }' <<<"$answer")" = 0 ] || note "$2 $1: not all of the connections were kept: $answer"
}

# A tenth of the requests take 100 ms in their handler; the others as always. Without them the client
# pauses as long instead, so that the others are asked for just as often.
blocking_case() {
    [[ $1 == pool || $1 == thread ]] || return
    # Long enough that the beginning, when the pool learns of it, is not a hundredth of it.
    local seconds=$((seconds > 8 ? seconds : 8))
    if [ -z "${pid_of[api-$1]:-}" ]; then
        start_api --threading "$1" --idle-ms 600000
        pid_of[api-$1]=$pid port_of[api-$1]=$port
    fi
    load_case blocking-none "api-$1" 64 / '' - 10
    load_case blocking "api-$1" 64 / '' /block/100 10
}

# The server of handlers that wait: Go's is one with the files.
waits_in() {
    api=$1
    [ "$1" != go ] || return 0
    api=api-$1
    [ -z "${pid_of[$api]:-}" ] || return 0
    start_api --threading "$1" --idle-ms 600000
    pid_of[$api]=$pid port_of[$api]=$port
}

# watch_threads PID FILE: the most threads from the second second on. Without a process for each look.
watch_threads() {
    local key value most=0 began=$SECONDS
    exec 8<> <(:)
    while read -r -t 0.05 value <&8 || [ -d "/proc/$1" ]; do
        while read -r key value; do
            [ "$key" != Threads: ] || [ $((SECONDS - began)) -lt 2 ] || [ "$value" -le "$most" ] || most=$value
        done <"/proc/$1/status"
        echo "$most" >"$2"
    done 2>/dev/null
}

# 64 kept connections, and a handler that sleeps. Which of them has what to itself is the machine's
# affair; what Little's law asks for counts what was reached.
sleep_case() {
    local us rate watcher api
    local seconds=$((seconds > 3 ? seconds : 3))
    waits_in "$1"
    for us in 200 500 1000 2000 4000 10000 50000; do
        watch_threads "${pid_of[$api]}" "$work/threads" &
        watcher=$!
        load_case "sleep-$us" "$api" 64 "/sleep/$us"
        kill "$watcher" 2>/dev/null
        wait "$watcher" 2>/dev/null
        rate=$(awk -v c="sleep-$us" -v s="$1" '$1 == c && $2 == s && $3 == "rate" { r = $4 } END { print r + 0 }' "$out/rows.txt")
        [ "$rate" != 0 ] || continue
        row "sleep-$us" "$1" turn_us "$(awk -v r="$rate" 'BEGIN { print 1e6 / r }')"
        [ "$1" = go ] || row "sleep-$us" "$1" threads "$(cat "$work/threads")"
        [ "$1" = go ] || row "sleep-$us" "$1" little "$(awk -v n="$(cat "$work/threads")" -v r="$rate" -v us="$us" -v cores="$(nproc)" \
            'BEGIN { print n / (1.5 * r * us / 1e6 + cores) }')"
    done
}

# 64 requests in one moment, 1.5 ms each, on 16 workers: 6 ms at best.
burst_case() {
    local median p99 max errors more=()
    [ "$1" != pool ] || more=(--threads 16 --max-threads 16)
    [ "$1" = go ] || start_api --threading "$1" --idle-ms 600000 "${more[@]}"
    [ "$1" != go ] || port=${port_of[go]}
    read -r median p99 max errors < <("$build/bench/load_client" burst "$port" /sleep/1500 100 64 20 tls)
    [ "$1" = go ] || stop_one "$pid"
    [ "${errors:-1}" = 0 ] || { note "$1 burst: ${errors:-?} errors"; return; }
    row burst "$1" p50_us "$median"
    row burst "$1" p99_us "$p99"
}

# 2,000 who ask for 1 MiB and do not read: what others notice, and what they cost.
slow_case() {
    local a b n readers
    start_peer "$1" || return
    "$build/bench/load_client" close "$port" /f/13 x20 2 full >/dev/null
    a=$(pss_kib "$pid")
    coproc READERS { exec python3 "$bench/slow_readers.py" "$port" /f/1m 2000; }
    readers=$READERS_PID
    local from=${READERS[0]} to=${READERS[1]}
    read -r _ n <&"$from"
    sleep 1
    b=$(pss_kib "$pid")
    pid_of[beside-$1]=$pid port_of[beside-$1]=$port
    load_case slow "beside-$1" 1 /f/13
    row slow "$1" threads "$(threads_of "$pid")"
    echo >&"$to"
    wait "$readers" 2>/dev/null
    stop_one "$pid"
    [ "${n:-0}" = 2000 ] || { note "$1 slow: ${n:-none} of 2000 readers came"; return; }
    row slow "$1" kib "$(awk -v d=$((b - a)) 'BEGIN { print d / 2000 }')"
}

# Where the bytes of a connection are, as the library's own allocations say.
accounting_case() {
    local state part bytes
    "$build/bench/accounting" "$work/cert.pem" "$work/key.pem" "$build/bench/load_client" >"$work/accounting.out" ||
        { note "accounting failed"; return; }
    while read -r state part bytes; do row "accounting-$state" "$1" "$part" "$bytes"; done <"$work/accounting.out"
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
    keepalive) load_case keepalive "$2" 64 /f/13 ;;
    many) load_case many "$2" 3500 /f/13 ;;
    full | resumed) close_case "$1" "$2" "$1" ;;
    mtls) mtls_case "$2" ;;
    16k) load_case 16k "$2" 64 /f/16k ;;
    1m) load_case 1m "$2" 8 /f/1m 1048576 ;;
    100m) load_case 100m "$2" 2 /f/100m 104857600 ;;
    idle) idle_case idle "$2" 3500 ;;
    idle10k) idle_case idle10k "$2" 10000 ;;
    idleplain) idle_case idleplain "$2" 3500 plain --plain ;;
    accounting) accounting_case "$2" ;;
    blocking) blocking_case "$2" ;;
    sleep) sleep_case "$2" ;;
    burst) burst_case "$2" ;;
    slow) slow_case "$2" ;;
    flat) flat_case "$2" ;;
    *) die "there is no case $1" ;;
    esac
}

for case in ${cases//,/ }; do
    turns=$rounds
    [[ $case == idle* || $case == flat || $case == accounting || $case == slow ]] && turns=1
    for _ in $(seq "$turns"); do
        for server in ${servers//,/ }; do
            serves "$server" "$case" && run_case "$case" "$server"
        done
    done
    note "$case is measured"
done
for server in ${servers//,/ }; do
    [ -n "${pid_of[$server]:-}" ] || note "not in the table, because it does not run here: $server"
done
python3 "$bench/report.py" "$out/rows.txt" "$out" "$rounds" "$seconds" "$tree"
