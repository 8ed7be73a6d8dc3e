package collector

import "fmt"

// A StatusError is an HTTP status other than 200.
type StatusError int

func (status StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d", int(status))
}

// Unexpected returns an error for a response that was not expected. Its text says what the target sent instead, in one
// line.
func Unexpected(format string, values ...any) error {
	return unexpected(fmt.Sprintf(format, values...))
}

type unexpected string

func (text unexpected) Error() string {
	return string(text)
}
