package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/publish"
)

// reporter prints what goes wrong while connections are passed on, a line for
// an entry in so much time.
type reporter struct {
	entries []publish.Entry
	last    []time.Time
	silent  []int // lines since then that were not printed
}

const reportEvery = 10 * time.Second

func newReporter(entries []publish.Entry) *reporter {
	return &reporter{entries, make([]time.Time, len(entries)), make([]int, len(entries))}
}

func (r *reporter) say(entry int, text string) {
	if !r.last[entry].IsZero() && time.Since(r.last[entry]) < reportEvery {
		r.silent[entry]++
		return
	}
	more := ""
	if r.silent[entry] > 0 {
		more = fmt.Sprintf(" (and %d times before)", r.silent[entry])
	}
	r.last[entry], r.silent[entry] = time.Now(), 0
	_, _ = unix.Write(2, fmt.Appendf(nil, "netns-publish: %s: %s%s\n", r.entries[entry].Name(), text, more))
}
