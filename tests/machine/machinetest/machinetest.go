// Package machinetest lends throw-away machines to tests.
package machinetest

import (
	"errors"
	"os"
	"testing"

	"openrc-netns/tests/machine"
)

// Require skips the test where no machine can be made, and says why. Under CI=true a missing program is a failure.
func Require(t testing.TB) {
	t.Helper()
	err := machine.Check()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true" && !errors.Is(err, machine.ErrNotRoot):
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// Start makes a machine that ends with the test, or skips the test as [Require] does. What outlives the machine fails
// the test. Without opts.Log, the test's own output is the log.
func Start(t testing.TB, opts machine.Options) *machine.Machine {
	t.Helper()
	Require(t)
	if opts.Log == nil {
		opts.Log = t.Output()
	}
	m, err := machine.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// Run runs a script in the machine, which may be a virtual one too, and returns its output. Any status but 0 ends the
// test.
func Run(t testing.TB, m interface{ Run(string) machine.Result }, script string) string {
	t.Helper()
	result := m.Run(script)
	if err := result.Err(); err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return result.Output
}
