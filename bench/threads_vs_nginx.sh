#!/usr/bin/env bash
# threads_vs_nginx.sh - server CPU per request of the thread-per-connection composition (or another:
# --threading pool) beside Debian's nginx, TLS 1.3, 64 keep-alive connections, a file of 13 bytes.
#
#   bash bench/threads_vs_nginx.sh [--threading thread|pool] [--rounds N] [--seconds N]
#                                  [--connections N] [--path /f/13] [--threads "1 2 4 8"]
#
# --threads: the pool with each of these numbers beside nginx with as many workers.
#
# Both servers run all the time and are loaded in turns, so that what else the machine does hits both.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

threading=thread rounds=5 seconds=4 connections=64 path=/f/13 threads=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,10s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 0
        ;;
    esac
    [ $# -gt 1 ] || die "$1: unknown, or its value is missing; try --help"
    case $1 in
    --threading) threading=$2 ;;
    --rounds) rounds=$2 ;;
    --seconds) seconds=$2 ;;
    --connections) connections=$2 ;;
    --path) path=$2 ;;
    --threads) threads=$2 threading=pool ;;
    *) die "unknown option $1; try --help" ;;
    esac
    shift 2
done

need wrk nginx openssl python3 ninja cmake
build_release
make_material

# one NAME PID PORT: a line "requests cpu_us p99".
one() {
    local before after out
    before=$(cpu_us "$2")
    out=$(wrk -t2 -c"$connections" -d"${seconds}s" --latency "https://127.0.0.1:$3$path" 2>&1)
    after=$(cpu_us "$2")
    grep -qE 'Non-2xx|Socket errors' <<<"$out" && { echo "$out" >&2; note "$1 answered wrongly"; }
    awk -v us=$((after - before)) -v name="$1" '
        /requests in/ { n = $1 } /^ *99%/ { p = $2 } /^Requests\/sec/ { r = $2 }
        END { if (!n) exit 1; printf "%s %.3f %.0f %s\n", name, us / n, r, p }' <<<"$out"
}

# compare THREADS: a line with both and their ratio; "": as many as each has by default.
compare() {
    start_shs --threading "$threading" ${1:+--threads "$1"}; shs_pid=$pid shs_port=$port
    NGINX_WORKERS=$1 start_nginx; nginx_pid=$pid nginx_port=$port
    one warm "$shs_pid" "$shs_port" >/dev/null
    one warm "$nginx_pid" "$nginx_port" >/dev/null
    for _ in $(seq "$rounds"); do
        one shs "$shs_pid" "$shs_port"
        one nginx "$nginx_pid" "$nginx_port"
    done | tee "$work/rows" | sed 's/^/  /' >&2
    kill "$shs_pid" "$nginx_pid"
    wait "$shs_pid" "$nginx_pid" 2>/dev/null
    pids=() # both are gone
    awk -v t="$threading${1:+, $1 threads}" -v a="$(awk '$1 == "shs" { print $2 }' "$work/rows" | median)" \
        -v b="$(awk '$1 == "nginx" { print $2 }' "$work/rows" | median)" 'BEGIN {
            printf "CPU per request: %s %.2f us, nginx %.2f us, ratio %.3f\n", t, a, b, a / b }'
}

if [ -z "$threads" ]; then
    compare ""
fi
for n in $threads; do
    compare "$n"
done
