// Go's net/http as it is written in its documentation: files over HTTP/1.1 and TLS.
//
//	net_http ADDRESS CERT KEY DIR
package main

import (
	"crypto/tls"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	server := &http.Server{
		Addr:         os.Args[1],
		Handler:      http.FileServer(http.Dir(os.Args[4])),
		IdleTimeout:  300 * time.Second,
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){},
	}
	log.Fatal(server.ListenAndServeTLS(os.Args[2], os.Args[3]))
}
