// Package cli tests the command line as a user sees it, in transcripts
// (testdata/*.txtar), on a host of its own: the test binary runs itself once
// more in fresh mount, network and PID namespaces, with throw-away /etc and
// /run, so that nothing reaches the real host and nothing is left of it.
package cli

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/build"
	"openrc-netns/tests/internal/deny"
)

// insideEnv marks the run inside, and carries the directory of the binaries.
// workEnv has the directory that a file system for the transcripts is mounted
// on, there alone. emulatorEnv has the program that runs those of another
// architecture, $GOARCH (tests/arches).
const (
	insideEnv   = "OPENRC_NETNS_TEST_BIN"
	workEnv     = "OPENRC_NETNS_TEST_WORK"
	emulatorEnv = "OPENRC_NETNS_TEST_EMULATOR"
)

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
	switch {
	case os.Getenv(insideEnv) != "":
		if err := privateHost(); err != nil {
			fmt.Fprintln(os.Stderr, "make a host for the tests:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	case os.Geteuid() != 0:
		fmt.Println("skipped: the tests of the command line need root")
		if os.Getenv("CI") == "true" {
			os.Exit(1)
		}
	default:
		os.Exit(runInside())
	}
}

// runInside builds the binaries and runs this test binary on a host of its own.
func runInside() int {
	bin, err := os.MkdirTemp("", "netns-cli")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(bin)
	work, err := os.MkdirTemp("", "netns-cli-work")
	if err != nil {
		panic(err)
	}
	defer os.Remove(work)
	// Other users run them too.
	for _, dir := range []string{bin, work} {
		if err := os.Chmod(dir, 0o755); err != nil {
			panic(err)
		}
	}
	if err := build.Run("make", "-s", "build", "BIN="+bin); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if emulator := os.Getenv(emulatorEnv); emulator != "" {
		if err := emulate(bin, emulator); err != nil {
			fmt.Fprintln(os.Stderr, "have the commands emulated:", err)
			return 1
		}
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	for _, name := range []string{denyName, environName} {
		if err := os.Symlink(self, filepath.Join(bin, name)); err != nil {
			panic(err)
		}
	}
	inside := exec.Command(self, os.Args[1:]...)
	inside.Stdin, inside.Stdout, inside.Stderr = os.Stdin, os.Stdout, os.Stderr
	inside.Env = append(os.Environ(), insideEnv+"="+bin, workEnv+"="+work)
	inside.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	err = inside.Run()
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

// emulate puts a script that calls the emulator in the place of each program.
// The program itself is in a directory of its own, beside the scripts of the
// others, where it looks for them.
func emulate(bin, emulator string) error {
	programs, err := filepath.Glob(filepath.Join(bin, "*"))
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

func privateHost() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return freshHost()
}

// freshHost puts an empty /run and a throw-away copy of /etc in place, and an
// empty file system for the directories of transcripts. That one is taken off
// with all that a transcript has mounted below, and nothing in it is removed:
// testscript's own way leads into those mounts, and one of them may be of "/".
func freshHost() error {
	work := os.Getenv(workEnv)
	for unix.Unmount(work, unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("work", work, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount %s: %w", work, err)
	}
	for unix.Unmount("/etc", unix.MNT_DETACH) == nil {
	}
	// The first call hides the real /run for good, later ones what a test left.
	for unix.Unmount("/run", unix.MNT_DETACH) == nil {
	}
	if err := unix.Mount("none", "/run", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	for _, dir := range []string{"/run/netns", "/run/etc", "/run/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	err := unix.Mount("overlay", "/etc", "overlay", 0, "lowerdir=/etc,upperdir=/run/etc,workdir=/run/work")
	if err != nil {
		return fmt.Errorf("mount /etc: %w", err)
	}
	for _, dir := range []string{"/etc/netns", "/etc/conf.d"} {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
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
	testscript.Run(t, params(t, "testdata"))
}

// params are for the transcripts in a directory.
func params(t *testing.T, dir string) testscript.Params {
	bin := os.Getenv(insideEnv)
	return testscript.Params{
		Dir:                 dir,
		WorkdirRoot:         os.Getenv(workEnv), // and testscript removes nothing
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
	}
}

// A cgroup that a failed launch leaves, of a command or of a service, is seen.
func TestHostStateHasCgroups(t *testing.T) {
	dirs := ownCgroup()
	if len(dirs) != 1 {
		t.Skipf("cgroup v2 is mounted at %q", dirs)
	}
	for _, name := range []string{"netns-exec.1.0.lock", "openrc-netns.left"} {
		dir := filepath.Join(dirs[0], name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		state := string(hostState())
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
		if !strings.Contains(state, dir+"\n") {
			t.Errorf("%s is not seen", dir)
		}
	}
}

// TestFailureRemovesNothing has a transcript fail while it has a directory from
// elsewhere in its own, as some have "/".
func TestFailureRemovesNothing(t *testing.T) {
	elsewhere, scripts := t.TempDir(), t.TempDir()
	kept := filepath.Join(elsewhere, "kept")
	if err := os.Mkdir(kept, 0o500); err != nil {
		t.Fatal(err)
	}
	script := "mkdir here\nexec mount --rbind " + elsewhere + " here\nexec false\n"
	if err := os.WriteFile(filepath.Join(scripts, "fails.txtar"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &attempt{T: t}
	testscript.RunT(a, params(t, scripts))
	if !a.failed {
		t.Error("it has not failed")
	}
	if info, err := os.Stat(kept); err != nil || info.Mode().Perm() != 0o500 {
		t.Errorf("%v, %v", info, err)
	}
}

// attempt is a test in which transcripts may fail. The end of one is that of
// the goroutine that plays it.
type attempt struct {
	*testing.T
	failed bool
}

func (a *attempt) Parallel()     {}
func (a *attempt) Verbose() bool { return testing.Verbose() }

func (a *attempt) Run(_ string, play func(testscript.T)) {
	done := make(chan struct{})
	go func() { defer close(done); play(a) }()
	<-done
}

func (a *attempt) FailNow() {
	a.failed = true
	runtime.Goexit()
}

func (a *attempt) Fatal(args ...any) {
	a.Log(args...)
	a.FailNow()
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

// hostState lists mounts, processes, named namespaces and our control groups:
// those of commands and of services, where a launcher that is started from here
// makes them. Other packages' tests make theirs further down at the same time.
func hostState() []byte {
	var b bytes.Buffer
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	b.Write(mounts)
	patterns := []string{"/proc/[0-9]*", "/run/netns/*", "/run/*", "/etc/netns/*/*"}
	for _, dir := range ownCgroup() {
		patterns = append(patterns, dir+"/netns-exec.*", dir+"/openrc-netns.*")
	}
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		sort.Strings(paths)
		for _, path := range paths {
			fmt.Fprintln(&b, path)
		}
	}
	return b.Bytes()
}

// ownCgroup is the directory of this process's cgroup of version 2, wherever
// that is mounted.
func ownCgroup() (dirs []string) {
	table, _ := os.ReadFile("/proc/self/cgroup")
	for line := range strings.Lines(string(table)) {
		path, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
			dir := filepath.Join(root, path)
			if _, err := os.Stat(dir + "/cgroup.controllers"); v2 && err == nil {
				dirs = append(dirs, dir)
			}
		}
	}
	return dirs
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
