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
	"compress/gzip"
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

	// Other protocols.
	"amqp":  func(w io.Writer) { send(w, "AMQP\x00\x00\x09\x01") },
	"http2": func(w io.Writer) { send(w, "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x05\x00\x00\x40\x00") },
	"mysql": func(w io.Writer) { send(w, "J\x00\x00\x00\x0a8.0.36\x00\x08\x00\x00\x00") },
	"redis": func(w io.Writer) { send(w, "-ERR wrong number of arguments for 'get' command\r\n") },
	"smtp":  func(w io.Writer) { send(w, "220 mail.example ESMTP\r\n") },
	"tls":   func(w io.Writer) { send(w, "\x15\x03\x01\x00\x02\x02\x46") },
	"text":  func(w io.Writer) { send(w, `{"goroutine_num":12}`) },

	// For clients that begin with TLS. The request is not read.
	"closed-tls": nil,
	"not-tls":    nil,
	"plain-http": nil,

	// Odd responses.
	"content-length-nonsense": func(w io.Writer) { head(w, "200 OK", "Content-Length: 99999999999999999999999"); send(w, stats) },
	"half-chunked":            func(w io.Writer) { head(w, "200 OK", "Transfer-Encoding: chunked"); send(w, "4\r\n{\"go\r\n") },
	"half-head":               func(w io.Writer) { send(w, "HTTP/1.1 200 OK\r\nContent-Type: ") },
	"interim-flood":           interimFlood,
	"interim-only":            func(w io.Writer) { send(w, "HTTP/1.1 103 Early Hints\r\n\r\n"); hang() },
	"many-headers": func(w io.Writer) {
		head(w, "200 OK", strings.Split(strings.Repeat("X-Field: x,", 200)+"X-Field: x", ",")...)
	},
	"one-byte-chunks": oneByteChunks,

	// Compressed responses, which no request has offered.
	"brotli": func(w io.Writer) {
		head(w, "200 OK", "Content-Encoding: br", "Content-Length: 3")
		send(w, "\x0b\x02\x80")
	},
	"gzip":      compressed(stats, "Content-Encoding: gzip"),
	"gzip-bomb": compressed(strings.Repeat(" ", 8<<20)+stats, "Content-Encoding: gzip"),
	"gzip-half": func(w io.Writer) {
		text := zip(stats)
		head(w, "200 OK", "Content-Encoding: gzip")
		send(w, text[:len(text)/2])
	},
	"gzip-not":         func(w io.Writer) { head(w, "200 OK", "Content-Encoding: gzip", length(stats)); send(w, stats) },
	"gzip-unannounced": compressed(stats),

	// Error pages.
	"basic":          page("401 Unauthorized", "Unauthorized\n", `WWW-Authenticate: Basic realm="metrics"`),
	"bearer":         page("401 Unauthorized", "", `WWW-Authenticate: Bearer realm="metrics", error="invalid_token"`),
	"digest":         page("401 Unauthorized", "", `WWW-Authenticate: Digest realm="metrics", nonce="x"`),
	"forbidden":      page("403 Forbidden", "Blocked host: 127.0.0.1\nTo allow it, change the configuration.\n"),
	"https-needed":   page("400 Bad Request", "Client sent an HTTP request to an HTTPS server.\n"),
	"json-error":     page("503 Service Unavailable", "{\n  \"error\": \"warming up\",\n  \"code\": 7\n}\n"),
	"nginx":          page("404 Not Found", "<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n<hr><center>nginx/1.27.0</center>\r\n</body>\r\n</html>\r\n"),
	"flask":          page("404 Not Found", "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<style>p { color: red }</style>\n<h1>Not Found</h1>\n<p>The requested URL was <b>not</b> found &amp; logged.</p>\n"),
	"login":          page("302 Found", "", "Location: /login?next=%2Fstats"),
	"misdirected":    page("421 Misdirected Request", ""),
	"moved":          page("301 Moved Permanently", "", "Location: /api/stats/"),
	"moved-to-https": page("308 Permanent Redirect", "", "Location: https://stats.example.com/api/stats"),
	"no-challenge":   page("401 Unauthorized", ""),
	"quoted":         page("302 Found", "", "Location: /a?b=$(reboot)&c='"),
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

// unread has the behaviours that respond to anything.
var unread = map[string]string{
	"closed-tls": "",
	"not-tls":    "220 mail.example ESMTP\r\n",
	"plain-http": "HTTP/1.1 400 Bad Request\r\n\r\n",
}

func serve(connection net.Conn, misbehave func(io.Writer)) {
	defer connection.Close()
	if text, known := unread[flag.Arg(0)]; known {
		connection.Read(make([]byte, 4096))
		io.WriteString(connection, text)
		return
	}
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

// page is a complete response with an error status.
func page(status, text string, fields ...string) func(io.Writer) {
	return func(w io.Writer) { head(w, status, append(fields, length(text))...); send(w, text) }
}

// compressed is a valid response, compressed with gzip.
func compressed(text string, fields ...string) func(io.Writer) {
	return func(w io.Writer) {
		compressed := zip(text)
		head(w, "200 OK", append(fields, length(compressed))...)
		send(w, compressed)
	}
}

func zip(text string) string {
	var buffer strings.Builder
	writer := gzip.NewWriter(&buffer)
	io.WriteString(writer, text)
	writer.Close()
	return buffer.String()
}

// interimFlood sends interim responses until the client disconnects, up to 64 MiB.
func interimFlood(w io.Writer) {
	for part := strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 1000); sent.Load() < 64<<20 && send(w, part); {
	}
}

// oneByteChunks sends 4 MiB in chunks of one byte.
func oneByteChunks(w io.Writer) {
	head(w, "200 OK", "Transfer-Encoding: chunked")
	for part := strings.Repeat("1\r\n \r\n", 4096); sent.Load() < 24<<20 && send(w, part); {
	}
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
