// The app of the tests, the demo and the benchmarks: a real Go program that serves its runtime's statistics.
//
//	GET /stats    runtime.MemStats and related numbers, in the JSON of golang-stats-api-handler
//	GET /served   a JSON array of the last bodies that /stats served, exactly as served
//	GET /queue    {"queue": {"waiting": 3, "done": N}}, where N grows by 60 each time
//	GET /say?TEXT the query, decoded
//
// It prints the addresses that it listens on, one per line. If the environment has LOG_RESPONSES, it also prints each
// response for /stats as one line before it is sent, so that it can be read after the app has ended.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"sync"
	"time"
)

// The number of bodies that /served keeps.
const remembered = 100

func main() {
	listen := flag.String("listen", ":8080", "address to listen on; with port 0 any free one")
	ports := flag.Int("ports", 1, "number of ports; for more than one, -listen needs port 0")
	idle := flag.Bool("idle", false, "do no work between requests, so that many apps do not disturb a measurement")
	flag.Parse()

	h := handler{log: os.Getenv("LOG_RESPONSES") != ""}
	mux := http.NewServeMux()
	mux.HandleFunc("/stats", h.stats)
	mux.HandleFunc("/served", h.served)
	mux.HandleFunc("/queue", h.queue)
	mux.HandleFunc("/say", say)
	if !*idle {
		go work()
	}

	failed := make(chan error)
	for i := 0; i < *ports; i++ {
		l, err := net.Listen("tcp", *listen)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(l.Addr())
		go func() { failed <- http.Serve(l, mux) }()
	}
	log.Fatal(<-failed)
}

// work allocates some memory and releases it, so that the numbers change and garbage is collected every second or two.
func work() {
	var kept [4][]byte
	for i := 0; ; i++ {
		kept[i%len(kept)] = make([]byte, 256<<10)
		time.Sleep(200 * time.Millisecond)
	}
}

// handler responds to requests. The zero value prints nothing.
type handler struct {
	sync.Mutex
	log    bool             // print each response of /stats
	bodies [][]byte         // last responses of /stats, oldest first
	last   time.Time        // time of the previous request
	mem    runtime.MemStats // statistics of the previous request
	done   int              // last count of /queue
}

// stats serves the current statistics.
func (h *handler) stats(w http.ResponseWriter, _ *http.Request) {
	h.Lock()
	defer h.Unlock()
	body, err := json.Marshal(h.read())
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if len(h.bodies) == remembered {
		h.bodies = h.bodies[1:]
	}
	h.bodies = append(h.bodies, body)
	if h.log {
		fmt.Printf("%s\n", body)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

// served serves the last responses of stats.
func (h *handler) served(w http.ResponseWriter, _ *http.Request) {
	h.Lock()
	defer h.Unlock()
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, "[%s]\n", bytes.Join(h.bodies, []byte(",")))
}

// queue serves a queue that finishes 60 jobs with each request.
func (h *handler) queue(w http.ResponseWriter, _ *http.Request) {
	h.Lock()
	defer h.Unlock()
	h.done += 60
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"queue": {"waiting": 3, "done": %d}}`, h.done)
}

// say serves the decoded query.
func say(w http.ResponseWriter, r *http.Request) {
	text, err := url.QueryUnescape(r.URL.RawQuery)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	io.WriteString(w, text)
}

// read returns the statistics, with the garbage collections since the previous call. The first call has no rate and
// lists all collections whose pauses the runtime still knows.
func (h *handler) read() map[string]any {
	now, before := time.Now(), h.mem
	runtime.ReadMemStats(&h.mem)
	m := &h.mem

	var gcRate, pauseRate float64
	if seconds := now.Sub(h.last).Seconds(); !h.last.IsZero() && seconds > 0 {
		gcRate = float64(m.NumGC-before.NumGC) / seconds
		pauseRate = milliseconds(m.PauseTotalNs-before.PauseTotalNs) / seconds
	}
	h.last = now

	// PauseNs is a ring: collection number n, counted from 1, is at n-1.
	pauses := []float64{}
	for n := m.NumGC; n > before.NumGC && len(pauses) < len(m.PauseNs); n-- {
		pauses = append(pauses, milliseconds(m.PauseNs[(n-1)%uint32(len(m.PauseNs))]))
	}

	return map[string]any{
		"time":                now.UnixNano(),
		"go_version":          runtime.Version(),
		"go_os":               runtime.GOOS,
		"go_arch":             runtime.GOARCH,
		"cpu_num":             runtime.NumCPU(),
		"goroutine_num":       runtime.NumGoroutine(),
		"gomaxprocs":          runtime.GOMAXPROCS(0),
		"cgo_call_num":        runtime.NumCgoCall(),
		"memory_alloc":        m.Alloc,
		"memory_total_alloc":  m.TotalAlloc,
		"memory_sys":          m.Sys,
		"memory_lookups":      m.Lookups,
		"memory_mallocs":      m.Mallocs,
		"memory_frees":        m.Frees,
		"memory_stack":        m.StackInuse,
		"heap_alloc":          m.HeapAlloc,
		"heap_sys":            m.HeapSys,
		"heap_idle":           m.HeapIdle,
		"heap_inuse":          m.HeapInuse,
		"heap_released":       m.HeapReleased,
		"heap_objects":        m.HeapObjects,
		"gc_next":             m.NextGC,
		"gc_last":             m.LastGC,
		"gc_num":              m.NumGC,
		"gc_per_second":       gcRate,
		"gc_pause_per_second": pauseRate,
		"gc_pause":            pauses,
	}
}

// milliseconds converts nanoseconds.
func milliseconds(ns uint64) float64 { return float64(ns) / 1e6 }
