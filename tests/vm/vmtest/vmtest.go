// Package vmtest lends virtual machines to tests.
package vmtest

import (
	"testing"

	"openrc-netns/tests/machine/machinetest"
	"openrc-netns/tests/vm"
)

// Require skips the test where no virtual machine can be made, and says why. Under CI=true a missing program is a
// failure.
func Require(t testing.TB) {
	t.Helper()
	machinetest.Require(t)
}

// Start makes a virtual machine that ends with the test, or skips the test as [Require] does. Without opts.Log, the
// test's own output is the log.
func Start(t testing.TB, opts vm.Options) *vm.VM {
	t.Helper()
	Require(t)
	if opts.Log == nil {
		opts.Log = t.Output()
	}
	v, err := vm.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// Run runs a script in the guest and returns its output. Any status but 0 ends the test.
func Run(t testing.TB, v *vm.VM, script string) string {
	t.Helper()
	return machinetest.Run(t, v, script)
}
