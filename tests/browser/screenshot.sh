#!/usr/bin/env bash
# screenshot.sh SHS DIR [PATH]... - what a browser shows of DIR over HTTPS: DIR-of-pictures/N.png.
#
#   bash tests/browser/screenshot.sh build/release/shs examples/site / /images/
#
# Starts the server with a local authority of its own, puts that authority into the trust store of a
# new browser profile (as a user would), and takes a picture of each PATH. The browser is told to
# ignore nothing: with a certificate that it does not trust there is an error page and this fails.
# The pictures are left in a new directory, whose name is the last line. Needs Debian's chromium and
# libnss3-tools; without them it ends with 77.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: screenshot.sh SHS DIR [PATH]..." >&2; exit 2; }
shs=$(realpath "$1")
site=$(realpath "$2")
shift 2
[ $# -gt 0 ] || set -- /

for tool in chromium certutil; do
    command -v "$tool" >/dev/null || { echo "skipped: there is no $tool (apt install chromium libnss3-tools)"; exit 77; }
done

top=$(mktemp -d)
pictures=$(mktemp -d "${TMPDIR:-/tmp}/shs-pictures.XXXXXX")
server=
cleanup() {
    [ -z "$server" ] || kill "$server" 2>/dev/null || true
    [ -z "$server" ] || wait "$server" || true
    rm -rf "$top"
}
trap cleanup EXIT

HOME=$top XDG_STATE_HOME=$top/state "$shs" serve --port 0 "$site" >"$top/out" 2>"$top/log" &
server=$!
for _ in $(seq 100); do
    grep -q '^Try: ' "$top/out" && break
    sleep 0.1
done
url=$(sed -n 's/^Serving .* (\(.*\)\/) \.\.\.$/\1/p' "$top/out")
[ -n "$url" ] || { cat "$top/out" "$top/log" >&2; echo "the server did not start" >&2; exit 1; }

# browse HOME PATH PICTURE: one picture, and the page's text beside it.
browse() {
    local options=(--headless --no-sandbox --disable-gpu --hide-scrollbars --disable-background-networking
        --no-first-run --window-size=1000,700 --user-data-dir="$1/profile")
    HOME=$1 timeout 120 chromium "${options[@]}" --screenshot="$3" "$url$2" >"$top/browser" 2>&1
    HOME=$1 timeout 120 chromium "${options[@]}" --dump-dom "$url$2" >"${3%.png}.html" 2>>"$top/browser"
}

trusting=$top/trusting
stranger=$top/stranger
mkdir -p "$trusting/.pki/nssdb" "$stranger"
certutil -d "sql:$trusting/.pki/nssdb" -N --empty-password
certutil -d "sql:$trusting/.pki/nssdb" -A -t C,, -n "shs local authority" -i "$top/state/shs/ca.pem"

number=0
for path; do
    number=$((number + 1))
    browse "$trusting" "$path" "$pictures/$number.png"
    # A page of the server's, as curl sees it, has a title; so must what the browser shows.
    title=$(curl -sSf --noproxy '*' --cacert "$top/state/shs/ca.pem" "$url$path" |
        sed -n 's/.*<title>\(.*\)<\/title>.*/\1/p' | head -n 1)
    if [ -z "$title" ] || ! grep -qF "<title>$title</title>" "$pictures/$number.html"; then
        echo "FAILED $path: the browser shows another page than \"$title\"" >&2
        head -c 2000 "$pictures/$number.html" "$top/browser" >&2
        exit 1
    fi
    echo "ok     $path \"$title\""
done

# The proof that trust was asked for: a browser that does not know the authority shows nothing of ours,
# and tells the server why.
browse "$stranger" "$1" "$pictures/stranger.png"
if grep -qF '<title>' "$pictures/stranger.html" && ! grep -qF 'ERR_CERT' "$pictures/stranger.html"; then
    echo "FAILED: a browser that does not know the authority shows the page" >&2
    exit 1
fi
if ! grep -q 'does not trust the certificate' "$top/log"; then
    cat "$top/log" >&2
    echo "FAILED: the server was not told that its certificate is not trusted" >&2
    exit 1
fi
echo "ok     a browser that does not know the authority: $(grep -m 1 -o 'The peer does not trust.*' "$top/log")"
rm -f "$pictures/stranger.png"
rm "$pictures"/*.html
echo "$pictures"
