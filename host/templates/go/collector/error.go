package collector

import "fmt"

// A StatusError is an HTTP status in place of 200.
type StatusError int

func (status StatusError) Error() string {
	return fmt.Sprintf("HTTP status %d", int(status))
}

// Unexpected gives an error for an answer that cannot be read as what was expected. It says what came instead.
func Unexpected(format string, values ...any) error {
	return unexpected(fmt.Sprintf(format, values...))
}

type unexpected string

func (text unexpected) Error() string {
	return string(text)
}
