// memcached is a collector for mackerel-plugin-wasm that reads the statistics of memcached, with the metric names of
// mackerel-plugin-memcached.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"mackerel/collector"
)

func init() { collector.Register(memcached{}) }

func main() {}

type memcached struct{}

func (memcached) Describe() collector.Description {
	return collector.Description{
		Name:    "memcached",
		Version: "0.1.0",
		Summary: "Connections, commands, hits and items of memcached, from its command stats",
	}
}

func (memcached) Graphs(collector.Options) ([]collector.Graph, error) { return graphs, nil }

// graphs are the graphs of mackerel-plugin-memcached. Each metric has the name of its statistic, except new_items and
// nonzero_evictions.
var graphs = []collector.Graph{
	{Key: "#.connections", Label: "Connections", Unit: collector.Integer, Metrics: []collector.Metric{
		{Name: "curr_connections", Label: "Connections"},
	}},
	{Key: "#.cmd", Label: "Command", Unit: collector.Integer, Metrics: []collector.Metric{
		counter("cmd_get", "Get"),
		counter("cmd_set", "Set"),
		counter("cmd_flush", "Flush"),
		counter("cmd_touch", "Touch"),
	}},
	{Key: "#.hitmiss", Label: "Hits/Misses", Unit: collector.Integer, Metrics: []collector.Metric{
		counter("get_hits", "Get Hits"),
		counter("get_misses", "Get Misses"),
		counter("delete_hits", "Delete Hits"),
		counter("delete_misses", "Delete Misses"),
		counter("incr_hits", "Incr Hits"),
		counter("incr_misses", "Incr Misses"),
		counter("cas_hits", "Cas Hits"),
		counter("cas_misses", "Cas Misses"),
		counter("touch_hits", "Touch Hits"),
		counter("touch_misses", "Touch Misses"),
	}},
	{Key: "#.evictions", Label: "Evictions", Unit: collector.Integer, Metrics: []collector.Metric{
		counter("evictions", "Evictions"),
		counter("nonzero_evictions", "Nonzero Evictions"),
		counter("reclaimed", "Reclaimed"),
	}},
	{Key: "#.unfetched", Label: "Unfetched", Unit: collector.Integer, Metrics: []collector.Metric{
		counter("expired_unfetched", "Expired unfetched"),
		counter("evicted_unfetched", "Evicted unfetched"),
	}},
	{Key: "#.rusage", Label: "Resource Usage", Unit: collector.Float, Metrics: []collector.Metric{
		counter("rusage_user", "User"),
		counter("rusage_system", "System"),
	}},
	{Key: "#.bytes", Label: "Traffics", Unit: collector.Bytes, Metrics: []collector.Metric{
		counter("bytes_read", "Read"),
		counter("bytes_written", "Write"),
	}},
	{Key: "#.cachesize", Label: "Cache Size", Unit: collector.Bytes, Metrics: []collector.Metric{
		{Name: "limit_maxbytes", Label: "Total"},
		{Name: "bytes", Label: "Used"},
	}},
	{Key: "#.items", Label: "Items", Unit: collector.Integer, Metrics: []collector.Metric{
		{Name: "curr_items", Label: "Current Items"},
		counter("new_items", "New Items"),
	}},
}

func counter(name, label string) collector.Metric {
	return collector.Metric{Name: name, Label: label, Kind: collector.CounterPerMinute}
}

func (memcached) Collect(target collector.Target, _ collector.Options) (*collector.Report, error) {
	conn, err := target.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return read(conn, os.Stderr)
}

// read sends the two commands and reports the statistics that the server has. Notes for the operator go to notes.
func read(conn io.ReadWriter, notes io.Writer) (*collector.Report, error) {
	client := client{conn, bufio.NewReader(conn)}
	stats, err := client.stats("stats")
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for _, stat := range stats {
		if value, err := strconv.ParseFloat(stat.value, 64); err == nil && !math.IsInf(value, 0) && !math.IsNaN(value) {
			values[stat.name] = value
		}
	}
	if total, ok := values["total_items"]; ok {
		values["new_items"] = total
	}
	// Its failure costs one metric only.
	if items, err := client.stats("stats items"); err != nil {
		fmt.Fprintf(notes, "no metric nonzero_evictions: %v\n", err)
	} else if evictions, ok := nonzeroEvictions(items); ok {
		values["nonzero_evictions"] = evictions
	} else if _, ok := values["evictions"]; ok && len(items) == 0 {
		values["nonzero_evictions"] = 0 // There are no items.
	}
	report := &collector.Report{}
	for _, graph := range graphs {
		for _, metric := range graph.Metrics {
			if value, ok := values[metric.Name]; ok {
				report.Add(graph.Key, metric.Name, value)
			}
		}
	}
	if len(report.Samples) == 0 {
		return nil, collector.Unexpected("statistics without any known name")
	}
	return report, nil
}

// nonzeroEvictions sums the evictions of items with an expiry time over all slab classes, if the server counts them.
func nonzeroEvictions(items []stat) (sum float64, known bool) {
	for _, item := range items {
		if strings.HasSuffix(item.name, ":evicted_nonzero") {
			if value, err := strconv.ParseUint(item.value, 10, 64); err == nil {
				sum, known = sum+float64(value), true
			}
		}
	}
	return sum, known
}

// A stat is a line of a response: STAT NAME VALUE.
type stat struct {
	name, value string
}

// A client speaks memcached's text protocol.
type client struct {
	conn   io.Writer
	reader *bufio.Reader
}

// maxStats is the largest number of statistics in a response. A server with 63 slab classes has 1500.
const maxStats = 10000

// stats sends a command and reads lines of statistics until END.
func (client client) stats(command string) ([]stat, error) {
	if _, err := io.WriteString(client.conn, command+"\r\n"); err != nil {
		return nil, fmt.Errorf("incomplete response: %w", err)
	}
	var stats []stat
	for len(stats) <= maxStats {
		line, err := client.reader.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("incomplete response: connection closed before the end of %s", command)
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("incomplete response: %w", err)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "END" && err == nil {
			return stats, nil
		}
		words := strings.SplitN(text, " ", 3)
		switch {
		case len(words) == 3 && words[0] == "STAT" && err == nil:
			stats = append(stats, stat{words[1], words[2]})
		case strings.HasPrefix(text, "ERROR") || strings.HasPrefix(text, "CLIENT_ERROR") || strings.HasPrefix(text, "SERVER_ERROR"):
			return nil, collector.Unexpected("%s failed: %.100s", command, text)
		default:
			return nil, collector.Unexpected("not a response of memcached to %s: '%.40s'", command, text)
		}
	}
	return nil, collector.Unexpected("more than %d lines in the response to %s", maxStats, command)
}
