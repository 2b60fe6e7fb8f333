// Package torture attacks the launchers and judges every launch from outside:
// races with whoever makes and deletes namespaces, system calls that fail,
// and things that run out. README.md says how to read and repeat what
// it finds.
package torture

import (
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/internal/apart"
)

var (
	seed = flag.Uint64("seed", 0, "repeat the run of this seed; 0 takes a new one")
	only = flag.String("only", "", "run this part, or this one case, of those that the report names")
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apart.Main(m, makeHost))
}

// length is how long the attack lasts: TORTURE_S seconds, or else ten minutes, of
// which a short run takes a slice.
func length(t *testing.T) time.Duration {
	text := os.Getenv("TORTURE_S")
	switch {
	case text == "" && testing.Short():
		return 45 * time.Second
	case text == "":
		return 10 * time.Minute
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 {
		t.Fatalf("TORTURE_S=%q: give a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second
}

func TestTorture(t *testing.T) {
	if *seed == 0 {
		*seed = rand.Uint64()>>33 + 1
	}
	// A few seconds may be too few for a machine that has other work.
	const attempts = 10
	r := &report{seed: *seed, violations: map[string][]violation{}}
	for i := 0; i < attempts && !r.launched(); i++ {
		r.parts = nil
		r.attack(time.Now().Add(length(t)))
	}
	r.print(t)
}

// attack shares the time between the attacks.
func (r *report) attack(until time.Time) {
	for _, attack := range []struct {
		name  string
		run   func(*report, time.Time)
		share float64 // of the time that is left
	}{
		{"limit", attackLimits, 0.2},
		{"inject", attackCalls, 0.35},
		{"race", attackRaces, 1},
	} {
		if *only != "" && strings.SplitN(*only, "/", 2)[0] != attack.name {
			continue
		}
		share := attack.share
		if *only != "" {
			share = 1
		}
		p := &part{name: attack.name, classes: map[string]int{}}
		r.parts = append(r.parts, p)
		began := time.Now()
		attack.run(r, began.Add(time.Duration(share*float64(time.Until(until)))))
		p.time = time.Since(began)
	}
}

// wanted reports whether -only lets the case run.
func wanted(id string) bool {
	return *only == "" || id == *only || strings.HasPrefix(id, *only+"/")
}
