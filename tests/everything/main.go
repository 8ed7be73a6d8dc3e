// A collector that uses the whole package collector. The scenario puts it in place of a new project's main.go.
package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"mackerel/collector"
	"mackerel/collector/transport"
)

func init() { collector.Register(everything{}) }

func main() {}

type everything struct{}

// Empty values are allowed here.
func (everything) Describe() collector.Description {
	return collector.Description{
		Name: "everything",
		Options: []collector.Option{
			{Name: "do", Default: "options"},
			{Name: "mode", Kind: collector.Choice, Choices: []string{"slow", "fast"}, Default: "slow"},
			{Name: "word", Kind: collector.Many},
			{Name: "token", Kind: collector.Secret},
			{Name: "loud", Kind: collector.Flag},
			{Name: "none"},
		},
	}
}

func (everything) Graphs(collector.Options) ([]collector.Graph, error) {
	metrics := []collector.Metric{
		{Name: "gauge"},
		{Name: "second", Kind: collector.CounterPerSecond},
		{Name: "minute", Kind: collector.CounterPerMinute, Stacked: true, Label: "Größe"},
	}
	graphs := []collector.Graph{{Key: "found.#", Unit: collector.Float, Metrics: []collector.Metric{{Name: "*", Label: "%1"}}}}
	for unit := collector.Float; unit <= collector.IOPS; unit++ {
		graphs = append(graphs, collector.Graph{Key: fmt.Sprintf("#.unit%d", unit), Label: "Unit", Unit: unit, Metrics: metrics})
	}
	return graphs, nil
}

// Not on the stack.
var garbage []byte

func (everything) Collect(target collector.Target, options collector.Options) (*collector.Report, error) {
	report := &collector.Report{}
	found := func(metric string, value float64) { report.Add("found.#", metric, value) }
	client := http.Client{Transport: transport.Transport}
	switch options.Get("do") {
	case "options":
		found("fast", map[string]float64{"slow": 0, "fast": 1}[options.Get("mode")])
		found("words", float64(len(strings.Join(options.All("word"), ""))))
		found("token", float64(len(options.Get("token"))))
		found("loud", float64(len(options.Get("loud"))))
		found("none", float64(len(options.Get("none"))))
	case "target":
		found("port", float64(target.Port))
		if target.Host == "127.0.0.1" {
			found("loopback", 1)
		}
		if container := target.Container; container != nil {
			found("inside", float64(container.Port))
			found("id", float64(len(container.ID)))
			found("labels", float64(len(container.Labels["scenario"])))
		}
	case "counters":
		seconds, err := readSeconds()
		if err != nil {
			return nil, err
		}
		report.Time = time.Unix(int64(seconds), 0)
		report.Add("#.unit0", "gauge", seconds)
		report.Add("#.unit0", "second", 3*seconds)
		report.Add("#.unit0", "minute", 2*seconds)
	case "nothing":
		return nil, nil
	case "stats":
		stats, err := collector.ReadStats(collector.MemoryPart | collector.ProcessesPart)
		if err != nil {
			return nil, err
		}
		report.Time = stats.Time
		report.AddKnown("found.#", "rss", stats.Memory.RSS)
		report.AddKnown("found.#", "processes", stats.Processes.Current)
		report.AddKnown("found.#", "cpu", stats.CPU.Usage)
		state, err := collector.ReadState()
		if err != nil {
			return nil, err
		}
		report.AddKnown("found.#", "restarts", state.Restarts)
	case "client":
		response, err := client.Get("http://" + transport.Address() + "/say?" + strings.Repeat("x", 5000))
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return nil, err
		}
		found("body", float64(len(body)))
		found("status", float64(response.StatusCode))
		found("type", float64(len(response.Header.Get("Content-Type"))))
	case "connect":
		conn, err := target.Connect()
		if err != nil {
			return nil, err
		}
		// Longer than one write of wasi:sockets takes.
		if _, err := fmt.Fprintf(conn, "GET /say?%s HTTP/1.0\r\n\r\n", strings.Repeat("x", 5000)); err != nil {
			return nil, err
		}
		response, err := io.ReadAll(conn)
		if err != nil {
			return nil, err
		}
		_, body, _ := strings.Cut(string(response), "\r\n\r\n")
		found("body", float64(len(body)))
		// A second connection, which is not closed.
		if _, err := target.Connect(); err != nil {
			return nil, err
		}
		runtime.GC()
		return report, conn.Close()
	case "garbage":
		// Go collects garbage from 4 MiB on, by default. The responses exceed that, while the host passes one.
		garbage = make([]byte, 3_600_000)
		path, bytes := "/say?"+strings.Repeat("x", 5000), 0
		for number := 0; number < 99; number++ {
			body, err := collector.Get(path)
			if err != nil {
				return nil, err
			}
			bytes += len(body)
		}
		found("bytes", float64(bytes))
	case "closed":
		conn, err := target.Connect()
		if err != nil {
			return nil, err
		}
		conn.Close()
		_, err = conn.Write([]byte("hello"))
		return nil, err
	case "refused":
		target.Port = 1
		_, err := target.Connect()
		return nil, err
	case "elsewhere":
		_, err := client.Get("http://192.0.2.1/queue")
		return nil, err
	case "post":
		_, err := client.Post("http://"+transport.Address()+"/say", "text/plain", strings.NewReader("hello"))
		return nil, err
	case "header":
		_, err := collector.Do(collector.Request{Path: "/say", Header: []collector.HeaderField{{Name: "not a name", Value: ""}}})
		return nil, err
	case "tls":
		_, err := collector.Do(collector.Request{Path: "/say", TLS: true})
		return nil, err
	case "status":
		return nil, fmt.Errorf("on the way: %w", collector.StatusError(503))
	case "unexpected":
		return nil, collector.Unexpected("%d pages instead of one", 2)
	case "other":
		return nil, errors.New("no idea\xff")
	case "empty":
		return nil, errors.New("")
	default:
		panic("what is " + options.Get("do"))
	}
	return report, nil
}

func readSeconds() (float64, error) {
	body, err := collector.Get("/queue")
	if err != nil {
		return 0, err
	}
	var done float64
	_, err = fmt.Sscanf(string(body), `{"queue": {"waiting": 3, "done": %g}}`, &done)
	return done, err
}
