package collector

import "time"

// Parts are what [ReadStats] is asked for, joined by |. Every part costs the host a few files.
type Parts uint8

// The parts of [Stats].
const (
	CPUPart Parts = 1 << iota
	ThrottlingPart
	MemoryPart
	BlockIOPart
	NetworkPart
	ProcessesPart
)

// Stats are what the target's container uses. What is not known is nil, and never zero.
type Stats struct {
	// Time is when the figures were taken. Made the report's, it makes rates exact.
	Time time.Time
	// CPU is time in nanoseconds since the container's start, of all cores together.
	CPU struct{ Usage, User, System *uint64 }
	// Throttling is what a CPU limit did since then: scheduling periods under it, those in which it was used up, and nanoseconds waited.
	Throttling struct{ Periods, ThrottledPeriods, ThrottledTime *uint64 }
	// Memory is in bytes: all that is charged, the same without inactive files, the limit, anonymous memory, and page cache.
	Memory struct{ Usage, Used, Limit, RSS, Cache *uint64 }
	// BlockIO is of all block devices together: operations waiting now, operations done and bytes moved since the container's start.
	BlockIO struct{ Queued, Serviced, Bytes Operations }
	// Network is since the container's start.
	Network struct{ Received, Sent Traffic }
	// Processes are processes and threads: how many there are, and may be.
	Processes struct{ Current, Limit *uint64 }
}

// Operations are numbers of block I/O by kind. The same one is a read or a write, and synchronous or not.
type Operations struct{ Read, Write, Synchronous, Asynchronous *uint64 }

// Traffic is network traffic of one direction, summed over all interfaces but lo.
type Traffic struct{ Bytes, Packets, Errors, Dropped *uint64 }

// A State is what the engine knows of the target's container beyond its list.
type State struct {
	// Restarts is how often the engine restarted it by its restart policy.
	Restarts *uint64
	// Health is what its health check says: "starting", "healthy" or "unhealthy", and "" where it has none.
	Health string
	// FailingStreak is how often that failed in a row.
	FailingStreak *uint64
}
