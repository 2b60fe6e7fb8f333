// Package build has make and the Go command do what tests need.
package build

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Command is one in the root of the tree, for a test in a directory of tests. It
// builds the same whatever CGO_ENABLED and GOFLAGS are to the test.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+Flags())
	return cmd
}

// Flags is what GOFLAGS then is.
func Flags() string {
	flags := "-buildvcs=false"
	if dir := os.Getenv("OPENRC_NETNS_COVER"); dir != "" { // tests/coverage
		flags += " -overlay=" + dir + "/overlay.json"
	}
	return flags
}

// Run runs such a command, which has to succeed.
func Run(name string, args ...string) error {
	if out, err := Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
