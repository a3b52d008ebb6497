# peers.sh - starting each server of the comparison; every one gets the workers, limits and time-outs
# that it needs to hold the load. start_peer NAME sets pid and port; 1 when it is not installed.

stop_one() {
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
}

# In a session of its own: lighttpd ends its whole process group when it is ended.
run_peer() {
    setsid "$@" >>"$work/peers.log" 2>&1 &
    pid=$!
    pids+=("$pid")
    wait_port "$port" || { tail -3 "$work/peers.log" >&2; return 1; }
}

start_h2o() {
    port=$(free_port)
    cat >"$work/h2o-$port.conf" <<CONF
num-threads: 2
max-connections: 100000
http1-request-timeout: 300
hosts:
  default:
    listen:
      host: 127.0.0.1
      port: $port
      ssl: { certificate-file: $work/cert.pem, key-file: $work/key.pem, minimum-version: TLSv1.2 }
    paths:
      /: { file.dir: $work/www }
error-log: $work/h2o.err
CONF
    run_peer "${words[@]}" -c "$work/h2o-$port.conf"
}

start_lighttpd() {
    port=$(free_port)
    cat >"$work/lighttpd-$port.conf" <<CONF
server.modules = ("mod_openssl")
server.document-root = "$work/www"
server.bind = "127.0.0.1"
server.port = $port
server.max-worker = 2
server.max-fds = 65535
server.max-connections = 50000
server.max-keep-alive-requests = 1000000000
server.max-keep-alive-idle = 300
ssl.engine = "enable"
ssl.pemfile = "$work/both.pem"
mimetype.assign = ("" => "application/octet-stream")
CONF
    run_peer "${words[@]}" ${tree:+-m "$tree/usr/lib/lighttpd"} -D -f "$work/lighttpd-$port.conf"
}

# haproxy has no files: it returns the 13 bytes from memory.
start_haproxy() {
    port=$(free_port)
    cat >"$work/haproxy-$port.conf" <<CONF
global
  nbthread 2
  maxconn $(($(ulimit -Hn) / 2 - 200))
  tune.ssl.default-dh-param 2048
defaults
  mode http
  timeout client 300s
  timeout connect 5s
  timeout server 5s
  timeout http-keep-alive 300s
frontend f
  bind 127.0.0.1:$port ssl crt $work/both.pem ${client_ca:+ca-file $client_ca verify required}
  http-request return status 200 content-type application/octet-stream file $work/www/f/13
CONF
    run_peer "${words[@]}" -db -f "$work/haproxy-$port.conf"
}

start_go() {
    if [ ! -x "$work/net_http" ]; then
        (cd "$bench" && GOCACHE="$work/gocache" GOFLAGS=-mod=mod nice go build -o "$work/net_http" net_http.go) >>"$work/peers.log" 2>&1 || return 1
    fi
    port=$(free_port)
    run_peer "$work/net_http" "127.0.0.1:$port" "$work/cert.pem" "$work/key.pem" "$work/www"
}

start_python() {
    port=$(free_port)
    run_peer python3 "$bench/http_server.py" "$port" "$work/cert.pem" "$work/key.pem" "$work/www"
}

start_peer() {
    case $1 in
    pool | thread) start_shs --threading "$1" "${@:2}" ;;
    direct) start_shs --threading pool --tls-records direct "${@:2}" ;;
    nginx | h2o | lighttpd | haproxy) of "$1" && "start_$1" ;;
    go) command -v go >/dev/null && start_go ;;
    python) start_python ;;
    *) die "there is no server $1" ;;
    esac
}
