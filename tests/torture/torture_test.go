// Package torture attacks the launchers and judges every launch from outside:
// races with whoever makes and deletes namespaces, system calls that fail,
// and things that run out. README.md says how to read and repeat what
// it finds.
package torture

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"openrc-netns/tests/internal/apart"
	"openrc-netns/tests/internal/attack"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(apart.Main(m, makeHost))
}

func TestTorture(t *testing.T) {
	if *attack.Only == "looks" || *attack.Only == "handover" {
		t.Skip("that is of tests/openrc")
	}
	// A few seconds may be too few for a machine that has other work.
	const attempts = 10
	r := &report{seed: *attack.Seed, violations: map[string][]violation{}}
	for i := 0; i < attempts && !r.launched(); i++ {
		r.parts = nil
		r.attack(time.Now().Add(attack.Length(t, 45*time.Second)))
	}
	r.print(t)
}

// attack shares the time between the attacks.
func (r *report) attack(until time.Time) {
	for _, surface := range []struct {
		name  string
		run   func(*report, time.Time)
		share float64 // of the time that is left
	}{
		{"limit", attackLimits, 0.2},
		{"inject", attackCalls, 0.35},
		{"race", attackRaces, 1},
	} {
		if *attack.Only != "" && strings.SplitN(*attack.Only, "/", 2)[0] != surface.name {
			continue
		}
		share := surface.share
		if *attack.Only != "" {
			share = 1
		}
		p := &part{name: surface.name, classes: map[string]int{}}
		r.parts = append(r.parts, p)
		began := time.Now()
		surface.run(r, began.Add(time.Duration(share*float64(time.Until(until)))))
		p.time = time.Since(began)
	}
}

// wanted reports whether -only lets the case run.
func wanted(id string) bool {
	return *attack.Only == "" || id == *attack.Only || strings.HasPrefix(id, *attack.Only+"/")
}
