# lib.sh - what the benchmark scripts share: a scratch directory, the certificate, starting and
# stopping servers by pid, CPU and memory of a process tree, medians.
#
# Everything lives in $work, on the loopback, and ends with the script.

bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$bench")
work=$(mktemp -d "${TMPDIR:-/tmp}/shs-bench.XXXXXX")
pids=()
tree= loader=()

stop_all() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
    pids=()
}
trap 'stop_all; rm -rf "$work"' EXIT

die() { echo "bench: $*" >&2; exit 1; }
note() { echo "bench: $*" >&2; }

need() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || die "$tool is missing: apt-get install $tool"
    done
}

build_release() {
    build=${SHS_BENCH_BUILD:-$root/build/bench}
    cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DSHS_BUILD_BENCH=ON \
        -DSHS_BUILD_TESTS=OFF -DSHS_BUILD_EXAMPLES=OFF >"$work/cmake.log" 2>&1 ||
        { cat "$work/cmake.log" >&2; die "cmake failed"; }
    nice ninja -C "$build" -j2 >"$work/ninja.log" 2>&1 || { tail -30 "$work/ninja.log" >&2; die "the build failed"; }
}

# One P-256 certificate for every server, and the files to serve.
make_material() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 7 \
        -subj /CN=localhost -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' \
        -keyout "$work/key.pem" -out "$work/cert.pem" 2>/dev/null || die "no certificate"
    cat "$work/cert.pem" "$work/key.pem" >"$work/both.pem"
    mkdir -p "$work/www/f"
    printf 'Hello, world\n' >"$work/www/f/13"
    cp "$work/www/f/13" "$work/www/index.html"
    head -c 16384 /dev/urandom >"$work/www/f/16k"
    head -c 1048576 /dev/urandom >"$work/www/f/1m"
    chmod -R a+rX "$work"
}

# A client with a certificate, of a CA under a CA: $work/client.pem, and $work/client-ca.pem to trust.
make_client() {
    local name parent= signer
    for name in client-ca client-sub client; do
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" -keyout "$work/$name.key" \
            -out "$work/$name.csr" 2>/dev/null
        if [ "$name" = client ]; then
            printf '%s\n' basicConstraints=critical,CA:FALSE keyUsage=critical,digitalSignature extendedKeyUsage=clientAuth
        else
            printf '%s\n' basicConstraints=critical,CA:TRUE keyUsage=critical,keyCertSign,cRLSign
        fi >"$work/$name.ext"
        printf '%s\n' subjectKeyIdentifier=hash authorityKeyIdentifier=keyid >>"$work/$name.ext"
        signer=(-signkey "$work/$name.key")
        [ -z "$parent" ] || signer=(-CA "$work/$parent.crt" -CAkey "$work/$parent.key" -CAcreateserial)
        openssl x509 -req -days 7 -in "$work/$name.csr" -extfile "$work/$name.ext" -out "$work/$name.crt" \
            "${signer[@]}" 2>/dev/null || die "no client certificate"
        parent=$name
    done
    cp "$work/client-ca.crt" "$work/client-ca.pem"
    cat "$work/client.crt" "$work/client-sub.crt" "$work/client.key" >"$work/client.pem"
    chmod a+r "$work/client-ca.pem"
}

free_port() {
    python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# tree PID: the pid and every descendant.
tree() {
    local pid child
    for pid in "$@"; do
        echo "$pid"
        for child in $(cat /proc/"$pid"/task/*/children 2>/dev/null); do tree "$child"; done
    done
}

# cpu_us PID: user + system time of the tree, children that were waited for included, in us.
cpu_us() {
    local tick p
    tick=$(getconf CLK_TCK)
    for p in $(tree "$1"); do sed 's/.*) //' "/proc/$p/stat" 2>/dev/null; done |
        awk -v tick="$tick" '{ t += $12 + $13 + $14 + $15 } END { printf "%.0f\n", t * 1e6 / tick }'
}

pss_kib() {
    local p
    for p in $(tree "$1"); do awk '/^Pss:/ { print $2 }' "/proc/$p/smaps_rollup" 2>/dev/null; done |
        awk '{ t += $1 } END { print t + 0 }'
}

rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

threads_of() { awk '/^Threads/ { print $2 }' "/proc/$1/status"; }

median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }

wait_port() {
    local i
    for i in $(seq 200); do
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return 0
        sleep 0.05
    done
    note "nothing listens on port $1"
    return 1
}

# use_tree DIR: the servers are the programs of this tree, another release of Debian: `shs` as well.
use_tree() {
    local found libraries
    libraries=$1/usr/lib/$(gcc -print-multiarch)
    for found in "$1"/lib*/ld-linux*.so.*; do
        "$found" --library-path "$libraries" "$1/usr/bin/true" 2>/dev/null || continue
        tree=$1 loader=("$found" --library-path "$libraries")
    done
    [ -n "$tree" ] || die "$1 is no Debian whose programs run here"
    of shs || die "$1 has no /usr/bin/shs: install the packages that 'cpack' makes in there"
}

# of NAME: the words that start this program: this machine's own, or with --tree the one of that tree,
# with its loader and its libraries. Sets `words`; 1 when it is not there.
of() {
    local found path=$PATH:/usr/sbin
    [ -z "$tree" ] || path=$tree/usr/bin:$tree/usr/sbin
    found=$(PATH=$path command -v "$1") || return 1
    words=("${loader[@]}" "$found")
}

# start_shs ARGS...: the command, as people use it, with no limit that the load would meet. Sets pid
# and port.
start_shs() {
    local security=(--cert "$work/cert.pem" --key "$work/key.pem")
    [[ " $* " != *" --plain "* ]] || security=()
    port=$(free_port)
    words=("$build/shs")
    [ -z "$tree" ] || of shs
    "${words[@]}" serve --port "$port" --log none --idle-timeout 600000 --max-requests 1000000000 --max-connections 100000 \
        "${security[@]}" ${client_ca:+--client-ca "$client_ca"} "$@" "$work/www" >/dev/null 2>>"$work/shs.err" &
    pid=$!
    pids+=("$pid")
    wait_port "$port" || { cat "$work/shs.err" >&2; die "shs serve did not start"; }
}

# start_api ARGS...: bench_server, for handlers that the command does not have. Sets pid and port.
start_api() {
    local composition
    rm -f "$work/shs.out" && mkfifo "$work/shs.out"
    "$build/bench/bench_server" --cert "$work/cert.pem" --key "$work/key.pem" \
        --root "$work/www/f" "$@" >"$work/shs.out" 2>>"$work/shs.err" &
    pids+=($!)
    read -r pid port composition <"$work/shs.out" || { cat "$work/shs.err" >&2; die "bench_server did not start"; }
}

start_nginx() {
    port=$(free_port)
    cat >"$work/nginx.conf" <<CONF
daemon off; master_process on; worker_processes ${NGINX_WORKERS:-2}; worker_rlimit_nofile 200000;
pid $work/nginx.pid; error_log $work/nginx.err crit;
events { worker_connections 100000; }
http {
  access_log off; server_tokens on; default_type application/octet-stream;
  client_body_temp_path $work/n1; proxy_temp_path $work/n2; fastcgi_temp_path $work/n3;
  uwsgi_temp_path $work/n4; scgi_temp_path $work/n5;
  sendfile on; tcp_nopush on; keepalive_timeout 300s; keepalive_requests 1000000000;
  ssl_certificate $work/cert.pem; ssl_certificate_key $work/key.pem;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on; ssl_session_timeout 2h;
  ssl_ecdh_curve X25519:P-256:P-384;
  ${client_ca:+ssl_client_certificate $client_ca; ssl_verify_client on; ssl_verify_depth 3;}
  server { listen 127.0.0.1:$port ssl; root $work/www; }
}
CONF
    chmod a+rx "$work"
    of nginx || return 1
    "${words[@]}" -e "$work/nginx.err" -c "$work/nginx.conf" &
    pid=$!
    pids+=("$pid")
    wait_port "$port"
}
