package torture

import (
	"math"
	"sync"
)

// history is what something has been, and when. A change takes time: from the
// system call that makes it on it may be seen, and until that has returned what
// was before may be.
type history[S any] struct {
	mu    sync.Mutex
	spans []span[S]
}

type span[S any] struct {
	from, to int64 // as of now
	state    S
}

const forever = math.MaxInt64

// kept is how many states are remembered: more than can pass during one launch.
const kept = 20000

// change makes a change, and notes what it leads to.
func (h *history[S]) change(next S, do func() error) error {
	h.mu.Lock()
	if len(h.spans) > 2*kept {
		h.spans = append(h.spans[:0], h.spans[len(h.spans)-kept:]...)
	}
	h.spans = append(h.spans, span[S]{now(), forever, next})
	h.mu.Unlock()
	err := do()
	h.mu.Lock()
	if last := len(h.spans) - 1; last > 0 {
		h.spans[last-1].to = now()
	}
	h.mu.Unlock()
	return err
}

// lasted reports whether a state that may have been seen between the two was
// there for so many nanoseconds.
func (h *history[S]) lasted(begin, end, time int64, is func(S) bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.spans) - 1; i >= 0 && h.spans[i].to >= begin; i-- {
		s := h.spans[i]
		if s.from <= end && is(s.state) && min(s.to, end)-s.from >= time {
			return true
		}
	}
	return false
}

// during lists the states that may have been seen between the two.
func (h *history[S]) during(begin, end int64) []S {
	h.mu.Lock()
	defer h.mu.Unlock()
	var states []S
	for i := len(h.spans) - 1; i >= 0 && h.spans[i].to >= begin; i-- {
		if h.spans[i].from <= end {
			states = append(states, h.spans[i].state)
		}
	}
	return states
}
