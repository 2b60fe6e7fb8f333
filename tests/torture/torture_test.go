// Package torture attacks the launchers and judges every launch from outside:
// races with whoever makes and deletes namespaces, system calls that fail,
// things that run out, and ways out. README.md says how to read and repeat what
// it finds.
package torture

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/build"
)

// insideEnv marks the run inside, and carries the directory of the binaries.
const insideEnv = "OPENRC_NETNS_TORTURE_BIN"

// escapeName is the name under which this binary is a command that looks for a
// way out.
const escapeName = "escape"

var (
	seed = flag.Uint64("seed", 0, "repeat the run of this seed; 0 takes a new one")
	only = flag.String("only", "", "run this part, or this one case, of those that the report names")
)

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == escapeName {
		escape(os.Args[1:])
	}
	flag.Parse()
	switch {
	case os.Getenv(insideEnv) != "":
		if err := makeHost(); err != nil {
			fmt.Fprintln(os.Stderr, "make a host for the attack:", err)
			os.Exit(1)
		}
		code := m.Run()
		leaveHost()
		os.Exit(code)
	case os.Geteuid() != 0:
		fmt.Println("skipped: the attack needs root")
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
	default:
		os.Exit(runInside())
	}
}

// runInside builds the binaries and runs this test binary on a host of its own.
func runInside() int {
	bin, err := os.MkdirTemp("", "netns-torture")
	if err == nil {
		err = os.Chmod(bin, 0o755) // other users run them too
	}
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	if err := build.Run("make", "-s", "build", "BIN="+bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	// Other users run it as well, and where it is they may not look.
	text, err := os.ReadFile(self)
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, escapeName), text, 0o755)
	}
	if err != nil {
		panic(err)
	}
	inside := exec.Command(self, os.Args[1:]...)
	inside.Stdin, inside.Stdout, inside.Stderr = os.Stdin, os.Stdout, os.Stderr
	inside.Env = append(os.Environ(), insideEnv+"="+bin)
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	err = inside.Run()
	sweepCgroups()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "run on a host of its own:", err)
		return 1
	}
	return 0
}

// length is how long the attack lasts: TORTURE_S seconds, or the slice that
// every run of the tests takes.
func length(t *testing.T) time.Duration {
	const slice = 45 * time.Second
	text := os.Getenv("TORTURE_S")
	if text == "" {
		return slice
	}
	seconds, err := strconv.Atoi(text)
	if err != nil || seconds < 1 {
		t.Fatalf("TORTURE_S=%q: give a number of seconds", text)
	}
	return time.Duration(seconds) * time.Second
}

func TestTorture(t *testing.T) {
	until := time.Now().Add(length(t))
	if *seed == 0 {
		*seed = rand.Uint64()>>33 + 1
	}
	r := &report{}
	r.begin(*seed)
	for _, part := range []struct {
		name  string
		run   func(*report, time.Time)
		share float64 // of the time that is left
	}{
		{"limit", attackLimits, 0.2},
		{"escape", attackEscapes, 0.5},
		{"inject", attackCalls, 0.35},
		{"race", attackRaces, 1},
	} {
		if *only != "" && strings.SplitN(*only, "/", 2)[0] != part.name {
			continue
		}
		share := part.share
		if *only != "" {
			share = 1
		}
		began := time.Now()
		part.run(r, began.Add(time.Duration(share*float64(time.Until(until)))))
		r.took(part.name, time.Since(began))
	}
	r.print(t)
}

// wanted reports whether -only lets the case run.
func wanted(id string) bool {
	return *only == "" || id == *only || strings.HasPrefix(id, *only+"/")
}
