package collector

import (
	"runtime"
	"runtime/debug"
)

// The host ends a call if the component's allocator, which the host calls to pass a response, calls the host in turn.
// Go's garbage collector does: it reads the clock, and a started collection continues in whatever Go code runs next. So
// it does not start by itself before memory runs short, and runs to its end before a request if there is much to
// collect.

// memoryLimit is the memory from which on garbage is collected at any time. The sandbox has 64 MiB by default.
const memoryLimit = 48 << 20

// nextCollection is the size of the heap from which on garbage is collected before a request. As in Go by default, it
// is 4 MiB at first, and then twice the size after the last collection.
var nextCollection uint64 = 4 << 20

func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(memoryLimit)
}

// beforeRequest must be called before every call of the host that returns a list or a string.
func beforeRequest() {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	if memory.HeapAlloc < nextCollection {
		return
	}
	runtime.GC()
	runtime.ReadMemStats(&memory)
	nextCollection = max(nextCollection, 2*memory.HeapAlloc)
}
