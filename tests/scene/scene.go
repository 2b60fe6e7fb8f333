// Package scene is what the tests on real OpenRC share, in throw-away and in
// virtual machines.
package scene

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/machine"
)

// Installed runs the tests of a package, with installed set to a folder that
// "make install DESTDIR=" has filled, and the probe. It returns what the program
// has to exit with.
func Installed(m *testing.M, installed *string) int {
	dir, err := os.MkdirTemp("", "openrc-netns-install")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	for _, command := range [][]string{
		{"make", "-C", "../..", "install", "DESTDIR=" + dir},
		{"go", "build", "-o", filepath.Join(dir, "usr/sbin/probe"), "../probe"},
	} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n%s", strings.Join(command, " "), err, out)
			return 1
		}
	}
	*installed = dir
	return m.Run()
}

// Machine is where a test plays: a [machine.Machine] or a virtual one.
type Machine interface {
	Run(script string) machine.Result
}

// Sh runs a script that has to succeed, and returns its output without the
// last newline.
func Sh(t *testing.T, m Machine, script string) string {
	t.Helper()
	result := m.Run(script)
	if err := result.Err(); err != nil {
		t.Fatalf("%s\n%v", script, err)
	}
	return strings.TrimSuffix(result.Stdout, "\n")
}

// Fails runs a script that has to fail, and returns what it printed as errors.
func Fails(t *testing.T, m Machine, script string) string {
	t.Helper()
	result := m.Run(script)
	if result.Code == 0 {
		t.Fatalf("%s\nsucceeded, and should not have:\n%s", script, result.Output)
	}
	return result.Stderr
}
