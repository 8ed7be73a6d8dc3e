// Command faults is a web server that misbehaves in one way on every path.
//
//	faults [-listen ADDRESS] BEHAVIOUR
//
// Its first line of output is the address that it listens on. Two paths have a normal response: /ready is empty, and
// /sent has the number of bytes that misbehaving responses have sent so far. A new behaviour is a new row in the table
// below.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// stats is a valid response in the form of golang-stats-api-handler.
const stats = `{"time":1700000000000000000,"goroutine_num":12,"cgo_call_num":1,"memory_alloc":1,"memory_sys":1,` +
	`"memory_stack":1,"memory_lookups":1,"memory_mallocs":1,"memory_frees":1,"heap_sys":1,"heap_idle":1,` +
	`"heap_inuse":1,"heap_released":1,"gc_num":1,"gc_per_second":0.5,"gc_pause_per_second":0.5}`

var behaviours = map[string]func(io.Writer){
	"array":         body("[1,2,3]"),
	"claims-1-gib":  func(w io.Writer) { head(w, "200 OK", "Content-Length: 1073741824"); hang() },
	"empty":         body(""),
	"escapes":       body("\x1b[31m\r\nmackerel-plugin-wasm: all is well\n\u202e"),
	"half":          func(w io.Writer) { head(w, "200 OK", length(stats)); send(w, stats[:len(stats)/2]) },
	"header-flood":  headerFlood,
	"html":          body("<!DOCTYPE html><html><body>Welcome to nginx!</body></html>"),
	"huge":          func(w io.Writer) { head(w, "200 OK", "Content-Length: 536870912"); flood(w, 512<<20) },
	"huge-unsized":  func(w io.Writer) { head(w, "200 OK"); flood(w, 512<<20) },
	"infinite":      body(strings.Replace(stats, `"gc_per_second":0.5`, `"gc_per_second":1e999`, 1)),
	"nested":        body(strings.Repeat("[", 1<<20)),
	"never":         func(io.Writer) { hang() },
	"not-http":      func(w io.Writer) { send(w, "SSH-2.0-OpenSSH_9.2p1\r\n") },
	"not-utf-8":     body("{\"goroutine_num\":\"\xff\xfe\"}"),
	"nothing":       func(io.Writer) {},
	"numbers-texts": body(strings.NewReplacer(`":`, `":"`, ",", `",`, "}", `"}`).Replace(stats)),
	"other-object":  body(`{"status":"ok"}`),
	"redirect":      redirect,
	"status-500":    status("500 Internal Server Error"),
	"status-404":    status("404 Not Found"),
	"trickle":       trickle,
}

// sent counts the body bytes of misbehaving responses.
var sent atomic.Int64

func main() {
	address := flag.String("listen", ":8080", "the address to listen on")
	flag.Parse()
	misbehave, known := behaviours[flag.Arg(0)]
	if flag.Arg(0) == "closed" { // a published port that is closed
		hang()
	}
	if !known {
		log.Fatalf("no such behaviour: %q", flag.Arg(0))
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(listener.Addr())
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(connection, misbehave)
	}
}

func serve(connection net.Conn, misbehave func(io.Writer)) {
	defer connection.Close()
	request, err := http.ReadRequest(bufio.NewReader(connection))
	if err != nil {
		return
	}
	switch request.URL.Path {
	case "/ready":
		head(connection, "200 OK", "Content-Length: 0")
	case "/sent":
		text := fmt.Sprint(sent.Load())
		head(connection, "200 OK", length(text))
		io.WriteString(connection, text)
	case "/elsewhere": // the target of the redirect
		body(stats)(connection)
	default:
		misbehave(connection)
	}
}

func head(w io.Writer, status string, fields ...string) {
	fields = append(fields, "Content-Type: application/json", "Connection: close")
	fmt.Fprintf(w, "HTTP/1.1 %s\r\n%s\r\n\r\n", status, strings.Join(fields, "\r\n"))
}

func length(text string) string {
	return fmt.Sprint("Content-Length: ", len(text))
}

// send returns whether the client is still connected.
func send(w io.Writer, text string) bool {
	n, err := io.WriteString(w, text)
	sent.Add(int64(n))
	return err == nil
}

func body(text string) func(io.Writer) {
	return func(w io.Writer) { head(w, "200 OK", length(text)); send(w, text) }
}

// status is a valid response except for its status.
func status(status string) func(io.Writer) {
	return func(w io.Writer) { head(w, status, length(stats)); send(w, stats) }
}

func redirect(w io.Writer) {
	head(w, "302 Found", "Location: /elsewhere", "Content-Length: 0")
}

// flood sends a response that starts validly and has this many bytes.
func flood(w io.Writer, bytes int) {
	send(w, `{"go_version":"`)
	for part := strings.Repeat("x", 1<<16); bytes > 0 && send(w, part); bytes -= len(part) {
	}
}

// headerFlood sends header fields until the client disconnects, up to 64 MiB.
func headerFlood(w io.Writer) {
	io.WriteString(w, "HTTP/1.1 200 OK\r\n")
	for field := strings.Repeat("X-Flood: "+strings.Repeat("x", 1000)+"\r\n", 64); sent.Load() < 64<<20 && send(w, field); {
	}
}

// trickle sends a valid response at one byte per second.
func trickle(w io.Writer) {
	head(w, "200 OK", length(stats))
	for _, letter := range stats {
		if !send(w, string(letter)) {
			return
		}
		time.Sleep(time.Second)
	}
}

func hang() {
	for {
		time.Sleep(time.Hour)
	}
}
