// Package attack is what the tests of "make torture" have in common: how long
// they last, and what they repeat.
package attack

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

var (
	// Seed repeats a run.
	Seed = flag.Uint64("seed", rand.Uint64()>>33+1, "repeat the run of this seed")
	// Only is a part, or a case, to run alone.
	Only = flag.String("only", "", "run this part, or this one case, of those that the report names")
)

// Length is how long the attack lasts: TORTURE_S seconds, or else ten minutes, of
// which a short run takes a slice.
func Length(t *testing.T, slice time.Duration) time.Duration {
	t.Helper()
	text := os.Getenv("TORTURE_S")
	switch {
	case text == "" && testing.Short():
		return slice
	case text == "":
		return 10 * time.Minute
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 {
		t.Fatalf("TORTURE_S=%q: give a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second
}
