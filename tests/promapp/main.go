// A real Go program with metrics of Prometheus' own client library.
//
//	GET /metrics  the page of the library: the runtime's metrics, and one metric of each type
//	GET /work     counts a piece of work in metrics with labels, and responds with the path
//	GET /served   a JSON array of the last pages that /metrics served, exactly as served
//
// It prints the address that it listens on.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var (
	requests = promauto.NewCounterVec(prometheus.CounterOpts{
		Name: "promapp_requests_total", Help: "Work that was asked for, with a \\ and a\nsecond line.",
	}, []string{"code", "path"})
	kept = promauto.NewGauge(prometheus.GaugeOpts{
		Name: "promapp_kept_bytes", Help: "What is kept.",
	})
	latency = promauto.NewHistogram(prometheus.HistogramOpts{
		Name: "promapp_latency_seconds", Help: "How long work took.", Buckets: []float64{0.1, 1},
	})
	wait = promauto.NewSummary(prometheus.SummaryOpts{
		Name: "promapp_wait_seconds", Help: "How long work waited.", Objectives: map[float64]float64{0.5: 0.05},
	})
)

func main() {
	listen := flag.String("listen", ":8080", "address to listen on; with port 0 any free one")
	flag.Parse()

	pages := &pages{handler: promhttp.Handler()}
	mux := http.NewServeMux()
	mux.Handle("/metrics", pages)
	mux.HandleFunc("/served", pages.served)
	mux.HandleFunc("/work", work)
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(l.Addr())
	log.Fatal(http.Serve(l, mux))
}

// work counts a request by ?code= and ?path=, which are any text.
func work(w http.ResponseWriter, r *http.Request) {
	requests.WithLabelValues(r.FormValue("code"), r.FormValue("path")).Inc()
	kept.Add(1 << 20)
	latency.Observe(0.5)
	wait.Observe(0.25)
	fmt.Fprintln(w, "done")
}

// The number of pages that /served keeps.
const remembered = 10

// pages serves the library's pages and keeps them.
type pages struct {
	handler http.Handler
	mutex   sync.Mutex
	last    []string
}

func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	copying := &copying{ResponseWriter: w}
	p.handler.ServeHTTP(copying, r)
	p.mutex.Lock()
	defer p.mutex.Unlock()
	p.last = append(p.last, copying.body.String())
	if len(p.last) > remembered {
		p.last = p.last[1:]
	}
}

func (p *pages) served(w http.ResponseWriter, _ *http.Request) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	json.NewEncoder(w).Encode(p.last)
}

// copying keeps a copy of all written data.
type copying struct {
	http.ResponseWriter
	body bytes.Buffer
}

func (c *copying) Write(part []byte) (int, error) {
	c.body.Write(part)
	return c.ResponseWriter.Write(part)
}
