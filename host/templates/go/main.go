// {{name}} is a collector for mackerel-plugin-wasm that reads the numbers of a queue's jobs from a program's JSON.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"mackerel/collector"
)

func init() { collector.Register(queue{}) }

func main() {}

type queue struct{}

func (queue) Describe() collector.Description {
	return collector.Description{
		Name:    "{{name}}",
		Version: "0.1.0",
		Summary: "Waiting and finished jobs of a queue",
		Options: []collector.Option{{Name: "path", Help: "The path of the JSON", Default: "/queue"}},
	}
}

func (queue) Graphs(options collector.Options) ([]collector.Graph, error) {
	if path := options.Get("path"); !strings.HasPrefix(path, "/") {
		return nil, fmt.Errorf("--path '%s' does not begin with '/'", path)
	}
	return []collector.Graph{{
		Key:   "#.jobs",
		Label: "Jobs",
		Unit:  collector.Integer,
		Metrics: []collector.Metric{
			{Name: "waiting", Label: "Waiting"},
			{Name: "done", Label: "Done per minute", Kind: collector.CounterPerMinute},
		},
	}}, nil
}

func (queue) Collect(_ collector.Target, options collector.Options) (*collector.Report, error) {
	body, err := collector.Get(options.Get("path"))
	if err != nil {
		return nil, err
	}
	return parse(body)
}

// parse parses {"queue": {"waiting": 3, "done": 120}}. A missing number is omitted, never reported as zero.
func parse(body []byte) (*collector.Report, error) {
	var page struct {
		Queue *struct{ Waiting, Done *float64 }
	}
	if err := json.Unmarshal(body, &page); err != nil || page.Queue == nil {
		return nil, collector.Unexpected(`no JSON with numbers in "queue": '%.40s'`, body)
	}
	report := &collector.Report{}
	if waiting := page.Queue.Waiting; waiting != nil {
		report.Add("#.jobs", "waiting", *waiting)
	}
	if done := page.Queue.Done; done != nil {
		report.Add("#.jobs", "done", *done)
	}
	return report, nil
}
