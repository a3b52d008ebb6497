// Go's net/http as it is written in its documentation: files over HTTP/1.1 and TLS, and a handler that
// sleeps, /sleep/MICROSECONDS.
//
//	net_http ADDRESS CERT KEY DIR
package main

import (
	"crypto/tls"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

func sleep(w http.ResponseWriter, r *http.Request) {
	us, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/sleep/"))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	time.Sleep(time.Duration(us) * time.Microsecond)
	w.Header().Set("Content-Type", "text/plain")
	w.Write([]byte("Hello, world\n"))
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/sleep/", sleep)
	mux.Handle("/", http.FileServer(http.Dir(os.Args[4])))
	server := &http.Server{
		Addr:         os.Args[1],
		Handler:      mux,
		IdleTimeout:  300 * time.Second,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
