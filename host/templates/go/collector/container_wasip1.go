package collector

import (
	"time"

	binding "mackerel/collector/internal/bindings/mackerel_collector_container"
	witTypes "mackerel/collector/internal/wit/types"
)

// ReadStats reads the current resource use of the target's container. It fails if there is no container or no source of
// stats.
func ReadStats(parts Parts) (*Stats, error) {
	beforeRequest()
	result := binding.Stats(binding.Parts(parts))
	if result.IsErr() {
		return nil, containerError{result.Err()}
	}
	value := result.Ok()
	stats := &Stats{Time: time.Unix(0, int64(value.Time))}
	stats.CPU.Usage, stats.CPU.User, stats.CPU.System = known(value.Cpu.Usage), known(value.Cpu.User), known(value.Cpu.System)
	stats.Throttling.Periods = known(value.Throttling.Periods)
	stats.Throttling.ThrottledPeriods = known(value.Throttling.ThrottledPeriods)
	stats.Throttling.ThrottledTime = known(value.Throttling.ThrottledTime)
	stats.Memory.Usage, stats.Memory.Used = known(value.Memory.Usage), known(value.Memory.Used)
	stats.Memory.Limit = known(value.Memory.Limit)
	stats.Memory.RSS, stats.Memory.Cache = known(value.Memory.Rss), known(value.Memory.Cache)
	stats.BlockIO.Queued = operations(value.BlockIo.Queued)
	stats.BlockIO.Serviced = operations(value.BlockIo.Serviced)
	stats.BlockIO.Bytes = operations(value.BlockIo.Bytes)
	stats.Network.Received, stats.Network.Sent = traffic(value.Network.Received), traffic(value.Network.Sent)
	stats.Processes.Current, stats.Processes.Limit = known(value.Processes.Current), known(value.Processes.Limit)
	return stats, nil
}

// ReadState reads the restarts and the health of the target's container. It costs the engine a request, and fails if
// there is no container or the engine does not respond.
func ReadState() (*State, error) {
	beforeRequest()
	result := binding.State()
	if result.IsErr() {
		return nil, containerError{result.Err()}
	}
	value := result.Ok()
	state := &State{Restarts: known(value.Restarts)}
	if value.Health.IsSome() {
		health := value.Health.Some()
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

// A containerError is an error of the host. It is passed back unchanged, because the host writes its message.
type containerError struct {
	cause binding.Error
}

func (err containerError) Error() string {
	switch cause := err.cause; cause.Tag() {
	case binding.ErrorNoContainer:
		return "the target has no container"
	case binding.ErrorGone:
		return "the container was stopped or removed"
	default:
		return cause.Unavailable()
	}
}
