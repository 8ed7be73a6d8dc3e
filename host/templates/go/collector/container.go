package collector

import "time"

// Parts are the parts of [Stats] to read, joined by |. Each part costs the host a few file reads.
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

// Stats are the resource use of the target's container. Unknown values are nil, never zero.
type Stats struct {
	// Time is the time of measurement. A report with this time has exact rates.
	Time time.Time
	// CPU is CPU time in nanoseconds since the container started, summed over all cores.
	CPU struct{ Usage, User, System *uint64 }
	// Throttling is the effect of the tightest CPU limit, counted since the container or the group with the limit was
	// created: scheduling periods under the limit, those of them that were throttled, and the time throttled in
	// nanoseconds.
	Throttling struct{ Periods, ThrottledPeriods, ThrottledTime *uint64 }
	// Memory is in bytes: all charged memory, the same without inactive files, the limit, anonymous memory, and page
	// cache.
	Memory struct{ Usage, Used, Limit, RSS, Cache *uint64 }
	// BlockIO is summed over all block devices: operations queued now, and operations completed and bytes transferred
	// since the container started.
	BlockIO struct{ Queued, Serviced, Bytes Operations }
	// Network is the traffic to and from the container since it started.
	Network struct{ Received, Sent Traffic }
	// Processes is the number of processes and threads, and its limit.
	Processes struct{ Current, Limit *uint64 }
}

// Operations are counts of block I/O. Each operation is a read or a write and, with cgroups v1, synchronous or
// asynchronous.
type Operations struct{ Read, Write, Synchronous, Asynchronous *uint64 }

// Traffic is network traffic in one direction: bytes, and numbers of packets. It is summed over all interfaces except
// lo.
type Traffic struct{ Bytes, Packets, Errors, Dropped *uint64 }

// A State is the state of the target's container that only the engine knows.
type State struct {
	// Restarts is the number of restarts by the container's restart policy.
	Restarts *uint64
	// Health is the status of the health check: "starting", "healthy", "unhealthy", or "" if there is no check.
	Health string
	// FailingStreak is the number of consecutive failures of the health check.
	FailingStreak *uint64
}
