package collector

import (
	"time"

	binding "mackerel/collector/internal/bindings/mackerel_collector_container"
	witTypes "mackerel/collector/internal/wit/types"
)

// ReadStats gives what the target's container uses at this moment.
func ReadStats(parts Parts) (*Stats, error) {
	answer := binding.Stats(binding.Parts(parts))
	if answer.IsErr() {
		return nil, containerError{answer.Err()}
	}
	given := answer.Ok()
	stats := &Stats{Time: time.Unix(0, int64(given.Time))}
	stats.CPU.Usage, stats.CPU.User, stats.CPU.System = known(given.Cpu.Usage), known(given.Cpu.User), known(given.Cpu.System)
	stats.Throttling.Periods = known(given.Throttling.Periods)
	stats.Throttling.ThrottledPeriods = known(given.Throttling.ThrottledPeriods)
	stats.Throttling.ThrottledTime = known(given.Throttling.ThrottledTime)
	stats.Memory.Usage, stats.Memory.Used = known(given.Memory.Usage), known(given.Memory.Used)
	stats.Memory.Limit = known(given.Memory.Limit)
	stats.Memory.RSS, stats.Memory.Cache = known(given.Memory.Rss), known(given.Memory.Cache)
	stats.BlockIO.Queued = operations(given.BlockIo.Queued)
	stats.BlockIO.Serviced = operations(given.BlockIo.Serviced)
	stats.BlockIO.Bytes = operations(given.BlockIo.Bytes)
	stats.Network.Received, stats.Network.Sent = traffic(given.Network.Received), traffic(given.Network.Sent)
	stats.Processes.Current, stats.Processes.Limit = known(given.Processes.Current), known(given.Processes.Limit)
	return stats, nil
}

// ReadState gives the restarts and the health of the target's container. The host asks the engine for it.
func ReadState() (*State, error) {
	answer := binding.State()
	if answer.IsErr() {
		return nil, containerError{answer.Err()}
	}
	given := answer.Ok()
	state := &State{Restarts: known(given.Restarts)}
	if given.Health.IsSome() {
		health := given.Health.Some()
		state.Health = [...]string{"starting", "healthy", "unhealthy"}[health.Status]
		state.FailingStreak = known(health.FailingStreak)
	}
	return state, nil
}

func operations(of binding.Operations) Operations {
	return Operations{known(of.Read), known(of.Write), known(of.Synchronous), known(of.Asynchronous)}
}

func traffic(of binding.Traffic) Traffic {
	return Traffic{known(of.Bytes), known(of.Packets), known(of.Errors), known(of.Dropped)}
}

func known(value witTypes.Option[uint64]) *uint64 {
	if value.IsNone() {
		return nil
	}
	number := value.Some()
	return &number
}

// A containerError is the host's own, and is handed back to it as it came.
type containerError struct {
	cause binding.Error
}

func (err containerError) Error() string {
	switch cause := err.cause; cause.Tag() {
	case binding.ErrorNoContainer:
		return "there is no container"
	case binding.ErrorGone:
		return "the container is gone"
	default:
		return cause.Unavailable()
	}
}
