package main

import (
	"reflect"
	"testing"

	"mackerel/collector"
)

func TestNumbersAreReported(t *testing.T) {
	report, err := parse([]byte(`{"queue": {"waiting": 3, "done": 120}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []collector.Sample{{Graph: "#.jobs", Metric: "waiting", Value: 3}, {Graph: "#.jobs", Metric: "done", Value: 120}}
	if !reflect.DeepEqual(report.Samples, want) {
		t.Errorf("got %v, want %v", report.Samples, want)
	}
}

func TestMissingNumbersAreOmitted(t *testing.T) {
	report, err := parse([]byte(`{"queue": {"done": 0}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []collector.Sample{{Graph: "#.jobs", Metric: "done", Value: 0}}
	if !reflect.DeepEqual(report.Samples, want) {
		t.Errorf("got %v, want %v", report.Samples, want)
	}
}

func TestOtherResponsesAreErrors(t *testing.T) {
	for _, body := range []string{"", "<html>", "[]", "{}", `{"queue": 3}`, `{"queue": {"waiting": "3"}}`} {
		if report, err := parse([]byte(body)); err == nil {
			t.Errorf("%s: got %v, want an error", body, report)
		}
	}
}
