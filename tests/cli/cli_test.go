// Package cli tests the command line as a user sees it, in transcripts
// (testdata/*.txtar), on a host of its own.
package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/apart"
	"openrc-netns/tests/internal/deny"
)

// emulatorEnv has the program that runs those of another architecture, $GOARCH
// (tests/arches).
const emulatorEnv = "OPENRC_NETNS_TEST_EMULATOR"

// Names under which this binary is a command: that of package deny, and
// withEnviron.
const (
	denyName    = "deny"
	environName = "with-environ"
)

func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case denyName:
		deny.Exec(os.Args[1:])
	case environName:
		withEnviron(os.Args[1:])
	}
	flag.Parse()
	// The transcripts share one /etc and one /run.
	if err := flag.Set("test.parallel", "1"); err != nil {
		panic(err)
	}
	os.Exit(apart.Main(m, makeHost))
}

// work is where a file system for the transcripts is mounted.
func work() string { return filepath.Join(apart.Dir, "work") }

func makeHost() error {
	if emulator := os.Getenv(emulatorEnv); emulator != "" {
		if err := emulate(apart.Bin, emulator); err != nil {
			return fmt.Errorf("have the commands emulated: %w", err)
		}
	}
	return errors.Join(apart.Copy(denyName, environName), os.Mkdir(work(), 0o755), freshHost())
}

// emulate puts a script that calls the emulator in the place of each program.
// The program itself is in a directory of its own, beside the scripts of the
// others, where it looks for them.
func emulate(bin, emulator string) error {
	programs, err := filepath.Glob(filepath.Join(bin, "*"))
	if err != nil {
		return err
	}
	// Where it is, other users may not look.
	program, err := os.ReadFile(emulator)
	emulator = filepath.Join(filepath.Dir(bin), "emulator")
	if err == nil {
		err = os.WriteFile(emulator, program, 0o755)
	}
	if err != nil {
		return err
	}
	for _, path := range programs {
		dir := path + ".d"
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		for _, other := range programs {
			if err := os.Symlink(other, filepath.Join(dir, filepath.Base(other))); err != nil {
				return err
			}
		}
		moved := filepath.Join(dir, filepath.Base(path))
		if err := os.Rename(path, moved); err != nil { // in the place of a link
			return err
		}
		script := fmt.Sprintf("#!/bin/sh\nexec '%s' '%s' \"$@\"\n", emulator, moved)
		if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// withEnviron takes
//
//	ENTRY... -- COMMAND [ARG]...
//
// and becomes COMMAND, an absolute path, with exactly these entries for its
// environment, be they twice, empty or no assignment. Escapes are those of a Go
// string. It does not return.
func withEnviron(args []string) {
	end := slices.Index(args, "--")
	if end < 0 || end == len(args)-1 {
		fmt.Fprintln(os.Stderr, "usage: with-environ ENTRY... -- COMMAND [ARG]...")
		os.Exit(2)
	}
	env, argv := args[:end], args[end+1:]
	for i, entry := range env {
		var err error
		if env[i], err = strconv.Unquote(`"` + entry + `"`); err != nil {
			fmt.Fprintf(os.Stderr, "with-environ: %q: %v\n", entry, err)
			os.Exit(2)
		}
	}
	fmt.Fprintln(os.Stderr, "with-environ:", unix.Exec(argv[0], argv, env))
	os.Exit(2)
}

// freshHost makes the host anew, and puts an empty file system for
// the directories of transcripts in place. That one is taken off with all that a
// transcript has mounted below, and nothing in it is removed: testscript's own way
// leads into those mounts, and one of them may be of "/".
func freshHost() error {
	for unix.Unmount(work(), unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("work", work(), "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", work(), err)
	}
	if err := errors.Join(apart.System(), apart.Fresh()); err != nil {
		return err
	}
	if err := os.Remove("/etc/resolv.conf"); err != nil && !os.IsNotExist(err) {
		return err
	}
	return os.WriteFile("/etc/resolv.conf", []byte("nameserver 192.0.2.1\n"), 0o644)
}

// withVPN gives a test a fresh host with the network namespace vpn.
func withVPN(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		if err := freshHost(); err != nil {
			t.Error(err)
		}
	})
	if err := freshHost(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "netns", "add", "vpn").CombinedOutput(); err != nil {
		t.Fatalf("ip netns add: %v\n%s", err, out)
	}
}

func TestCommandLine(t *testing.T) {
	bin := apart.Bin
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		WorkdirRoot:         work(), // and testscript removes nothing
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", bin+":/usr/sbin:/usr/bin:/sbin:/bin")
			env.Setenv("BIN", bin)
			env.Defer(func() {
				killAll()
				if err := freshHost(); err != nil {
					t.Errorf("clean up: %v", err)
				}
			})
			// Other users' commands work here too.
			return os.Chmod(env.WorkDir, 0o755|os.ModeSticky)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    cmdStatus,
			"snapshot":  cmdSnapshot,
			"unchanged": cmdUnchanged,
			"netns":     cmdNetns,
		},
	})
}

// cmdStatus is "status N COMMAND [ARG]...": COMMAND must exit with status N.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARG]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdNetns is "netns NAME": a network namespace as ip-netns(8) makes it, with
// a device "in-NAME" to know it by.
func cmdNetns(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: netns NAME")
	}
	ts.Check(ts.Exec("ip", "netns", "add", args[0]))
	ts.Check(ts.Exec("ip", "-n", args[0], "link", "add", "in-"+args[0], "type", "veth", "peer", "name", "peer"))
}

// cmdSnapshot remembers what a failed launch must leave alone; cmdUnchanged
// compares.
func cmdSnapshot(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(os.WriteFile(ts.MkAbs(".snapshot"), hostState(), 0o600))
}

func cmdUnchanged(ts *testscript.TestScript, neg bool, args []string) {
	before, err := os.ReadFile(ts.MkAbs(".snapshot"))
	ts.Check(err)
	if diff := cmp.Diff(string(before), string(hostState())); diff != "" {
		ts.Fatalf("something was left behind (-before +after):\n%s", diff)
	}
}

// hostState lists mounts, processes, named namespaces and control groups.
func hostState() []byte {
	var b bytes.Buffer
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	b.Write(mounts)
	patterns := []string{"/proc/[0-9]*", "/run/netns/*", "/run/*", "/etc/netns/*/*", "/sys/fs/cgroup/*"}
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		sort.Strings(paths)
		for _, path := range paths {
			fmt.Fprintln(&b, path)
		}
	}
	return b.Bytes()
}

// killAll ends what a failed script left running; this process is PID 1 here.
func killAll() {
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		if pid, _ := strconv.Atoi(filepath.Base(process)); pid > 1 && !strings.Contains(process, "self") {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}
}
