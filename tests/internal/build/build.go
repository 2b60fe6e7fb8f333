// Package build has make and the Go command do what tests need.
package build

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Command is one in the root of the tree, for a test in a directory of tests. It
// builds the same whatever CGO_ENABLED and GOFLAGS are to the test.
func Command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS="+Flags)
	return cmd
}

// Flags is what GOFLAGS then is.
const Flags = "-buildvcs=false"

// Run runs such a command, which has to succeed.
func Run(name string, args ...string) error {
	if out, err := Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// installedEnv is set by the Makefile, which has installed the tree for all tests,
// but those that set GOARCH.
const installedEnv = "OPENRC_NETNS_INSTALLED"

// Installed returns a folder that "make install DESTDIR=" has filled, with the
// probe beside the programs, and what removes it. Other folders may be made
// beside it.
func Installed() (dir string, remove func() error, err error) {
	if dir := os.Getenv(installedEnv); dir != "" && os.Getenv("GOARCH") == "" {
		return dir, func() error { return nil }, nil
	}
	temporary, err := os.MkdirTemp("", "openrc-netns-install")
	if err != nil {
		return "", nil, err
	}
	remove = func() error { return os.RemoveAll(temporary) }
	dir = filepath.Join(temporary, "root")
	if err := Run("make", "-s", "install-for-tests", "DESTDIR="+dir); err != nil {
		return "", nil, errors.Join(err, remove())
	}
	return dir, remove, nil
}
