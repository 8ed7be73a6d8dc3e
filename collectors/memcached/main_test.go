package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
)

// A server sends its text whatever it receives.
type server struct {
	io.Reader
	received bytes.Buffer
}

func (server *server) Write(data []byte) (int, error) { return server.received.Write(data) }

// readFrom returns the samples of a response, one in each line, the notes, and the error.
func readFrom(text string) (samples, notes, sent string, err error) {
	conn := &server{Reader: strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))}
	var lines, noted strings.Builder
	report, err := read(conn, &noted)
	if err == nil {
		for _, sample := range report.Samples {
			fmt.Fprintf(&lines, "%s.%s %v\n", sample.Graph, sample.Metric, sample.Value)
		}
	}
	return lines.String(), noted.String(), conn.received.String(), err
}

func TestKnownStatisticsAreReported(t *testing.T) {
	samples, notes, sent, err := readFrom(`STAT pid 1
STAT version 1.6.18
STAT rusage_user 0.125
STAT curr_connections 2
STAT total_items 7
STAT bytes 128
STAT unknown 3
END
STAT items:1:number 1
STAT items:1:evicted_nonzero 4
STAT items:39:evicted_nonzero 5
END
`)
	want := `#.connections.curr_connections 2
#.evictions.nonzero_evictions 9
#.rusage.rusage_user 0.125
#.cachesize.bytes 128
#.items.new_items 7
`
	if err != nil || samples != want || notes != "" {
		t.Errorf("got %s, %s, %v, want %s", samples, notes, err, want)
	}
	if want := "stats\r\nstats items\r\n"; sent != want {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

func TestEvictionsAreZeroWithoutItemsAndAbsentIfNotCounted(t *testing.T) {
	for items, want := range map[string]string{
		"":                                "#.evictions.nonzero_evictions 0\n",
		"STAT items:1:number 1\n":         "",
		"STAT items:1:evicted_nonzero \n": "",
	} {
		samples, _, _, err := readFrom("STAT evictions 1\nEND\n" + items + "END\n")
		if want = "#.evictions.evictions 1\n" + want; err != nil || samples != want {
			t.Errorf("%q: got %s, %v, want %s", items, samples, err, want)
		}
	}
}

func TestServerWithoutStatsItemsKeepsTheOtherMetrics(t *testing.T) {
	samples, notes, _, err := readFrom("STAT bytes 1\nEND\nERROR\n")
	if err != nil || samples != "#.cachesize.bytes 1\n" {
		t.Errorf("got %s, %v", samples, err)
	}
	if want := "no metric nonzero_evictions: stats items failed: ERROR\n"; notes != want {
		t.Errorf("got %q, want %q", notes, want)
	}
}

func TestOtherResponsesAreErrors(t *testing.T) {
	for response, want := range map[string]string{
		"":                                  "incomplete response: connection closed before the end of stats",
		"STAT bytes 1\n":                    "incomplete response: connection closed before the end of stats",
		"ERROR\n":                           "stats failed: ERROR",
		"CLIENT_ERROR unauthenticated\n":    "stats failed: CLIENT_ERROR unauthenticated",
		"HTTP/1.1 400 Bad Request\n":        "not a response of memcached to stats: 'HTTP/1.1 400 Bad Request'",
		"STAT bytes\n":                      "not a response of memcached to stats: 'STAT bytes'",
		"STAT pid 1\nEND\nEND\n":            "statistics without any known name",
		strings.Repeat("STAT a 1\n", 10001): "more than 10000 lines in the response to stats",
		"STAT bytes " + strings.Repeat("1", 5000) + "\n": "not a response of memcached to stats: 'STAT bytes 11111111111111111111111111111'",
	} {
		if _, _, _, err := readFrom(response); err == nil || err.Error() != want {
			t.Errorf("%.40q: got %v, want %s", response, err, want)
		}
	}
}
