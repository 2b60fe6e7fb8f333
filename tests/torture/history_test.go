package torture

import (
	"math"
	"slices"
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
	return slices.ContainsFunc(h.within(begin, end), func(s span[S]) bool {
		return is(s.state) && min(s.to, end)-s.from >= time
	})
}

// during lists the states that may have been seen between the two.
func (h *history[S]) during(begin, end int64) (states []S) {
	for _, s := range h.within(begin, end) {
		states = append(states, s.state)
	}
	return states
}

// within lists the spans that touch this one, the last one first.
func (h *history[S]) within(begin, end int64) (spans []span[S]) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.spans) - 1; i >= 0 && h.spans[i].to >= begin; i-- {
		if h.spans[i].from <= end {
			spans = append(spans, h.spans[i])
		}
	}
	return spans
}
