package kit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/machine"
	"openrc-netns/tests/vm"
)

// kinds are what a Host can be. The tests here are of what they have in common.
var kinds = map[string]func() (ending, error){
	"machine": func() (ending, error) {
		return machine.Start(machine.Options{Timeout: 10 * time.Second, Log: io.Discard})
	},
	"vm": func() (ending, error) {
		return vm.Start(vm.Options{Timeout: 30 * time.Second, Log: io.Discard})
	},
}

type ending interface {
	Machine
	io.Closer
}

func TestMain(m *testing.M) {
	vm.Init()
	machine.Init()
	if kind := os.Getenv("HOLD"); kind != "" {
		hold(kind)
	}
	os.Exit(m.Run())
}

// full makes what a machine must not leave.
const full = "setsid sleep 1000 & mkdir -p /sys/fs/cgroup/a/b; ip netns add left; mount -t tmpfs left /mnt"

// hold is what TestKilledProgramLeavesNothing kills.
func hold(kind string) {
	m, err := kinds[kind]()
	if err == nil {
		err = m.Run(full).Err()
	}
	fmt.Println("held", err)
	select {}
}

func ofEachKind(t *testing.T, play func(t *testing.T, kind string, start func() ending)) {
	Require(t)
	for kind, begin := range kinds {
		t.Run(kind, func(t *testing.T) {
			if kind == "vm" {
				Whole(t)
			}
			play(t, kind, func() ending {
				m, err := begin()
				return lend(t, m, err)
			})
		})
	}
}

func TestRunsAndFiles(t *testing.T) {
	ofEachKind(t, func(t *testing.T, _ string, start func() ending) {
		m := start()
		t.Run("what became of a script", func(t *testing.T) { becomes(t, m) })
		t.Run("a script is ordinary", func(t *testing.T) { ordinary(t, m) })
		t.Run("scripts at the same time", func(t *testing.T) {
			Sh(t, m, "mkfifo /run/meet")
			reader := make(chan string)
			go func() { reader <- m.Run("cat /run/meet").Stdout }()
			Sh(t, m, "echo hello >/run/meet")
			Equal(t, "read", <-reader, "hello\n")
		})
		t.Run("files", func(t *testing.T) { files(t, m) })
	})
}

func becomes(t *testing.T, m Machine) {
	const mega = 4 << 20
	for _, test := range []struct {
		script, stdout, stderr string
		code                   int
	}{
		{"echo out; echo err >&2; exit 7", "out\n", "err\n", 7},
		{"kill -TERM $$", "", "", 143},
		{"echo before; sleep 1000", "before\n", "", 124},
		{"setsid sleep 1000 & echo left", "left\n", "", 0},
		{"yes '' >&2 & echo left", "left\n", "", 0},
		{`printf '\0\1\003\004\021\023\r\n\177\200\377'`, "\x00\x01\x03\x04\x11\x13\r\n\x7f\x80\xff", "", 0},
		{fmt.Sprintf("head -c %d /dev/zero", mega), strings.Repeat("\x00", mega), "", 0},
	} {
		got := m.Run(test.script)
		stderr := strings.TrimLeft(got.Stderr, "\n")
		if got.Stdout != test.stdout || stderr != test.stderr || got.Code != test.code || (got.Err() == nil) != (test.code == 0) {
			t.Errorf("%s: status %d, %.99q and %.99q, %.99v", test.script, got.Code, got.Stdout, got.Stderr, got.Err())
		}
	}
}

func ordinary(t *testing.T, m Machine) {
	all := map[string]string{
		"env | cut -d= -f1 | sort | xargs": "HOME PATH PWD TERM",
		"pwd; umask; ulimit -Sn; hostname": "/\n0022\n1024\nopenrc",
		// GNU make leaves 32 and 33, the C library's own, ignored.
		"grep -e SigBlk -e SigIgn /proc/self/status | tr 18 00": "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000",
		"ls /proc/self/fd | xargs":                              "0 1 2 3", // 3 is the folder that ls reads
		"readlink /proc/self/fd/0":                              "/dev/null",
		"sed -n s/^0:://p /proc/self/cgroup":                    "/",
	}
	for script, want := range all {
		Equal(t, script, strings.Trim(m.Run(script).Output, "\n"), want)
	}
}

func files(t *testing.T, m Machine) {
	// A link to an absolute path must not lead to the host's file of that name.
	Sh(t, m, "mkdir /srv/real; ln -s /srv/real /srv/link")
	const name, content = "/srv/link/new/file", "\x00content\xff"
	if err := m.WriteFile(name, os.ModeSetuid|0o751, content); err != nil {
		t.Fatal(err)
	}
	Equal(t, "mode and owner", Sh(t, m, "stat -c '%a %U' /srv/real/new/file"), "4751 root")
	if _, err := os.Stat("/srv/real"); err == nil {
		t.Error("the host has the file")
	}
	if got, err := m.ReadFile(name); got != content || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	if _, err := m.ReadFile("/nowhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read what is not there: %v", err)
	}
}

func TestKilledProgramLeavesNothing(t *testing.T) {
	ofEachKind(t, func(t *testing.T, kind string, start func() ending) {
		start().Close() // its root, and what that takes, is there
		before := hostState(t)
		program := exec.Command("/proc/self/exe")
		program.Env = append(os.Environ(), "HOLD="+kind)
		stdout, err := program.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := program.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		Equal(t, "program", line, "held <nil>\n")
		traces := tracesOf(t, program.Process.Pid)
		if len(traces()) == 0 {
			t.Error("what runs leaves no traces")
		}
		program.Process.Kill()
		program.Wait()
		for deadline := time.Now().Add(30 * time.Second); len(traces()) > 0 && time.Now().Before(deadline); {
			time.Sleep(10 * time.Millisecond)
		}
		Equal(t, "left", strings.Join(traces(), "\n"), "")
		Equal(t, "the host", hostState(t), before)
	})
}

// hostState is what no machine may change.
func hostState(t *testing.T) string {
	t.Helper()
	// A host that never had a network namespace has no /run/netns.
	out, err := exec.Command("sh", "-c", `cat /proc/self/mountinfo; hostname; ip -o link; ip route show table all
		ls -la --time-style=full-iso /etc /run/netns 2>&1; ls -A /dev/shm ~/.uml 2>&1; true`).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// tracesOf takes note of what a program has made, and returns a function that
// lists how much of it is left: its descendants, and their cgroups.
func tracesOf(t *testing.T, program int) func() []string {
	t.Helper()
	cgroup := func(pid int) string {
		out, _ := exec.Command("sh", "-c", fmt.Sprintf("echo $(findmnt -nfo TARGET -t cgroup2)$(sed -n s/^0:://p /proc/%d/cgroup)", pid)).Output()
		return strings.TrimSpace(string(out))
	}
	processes, cgroups := map[int]int{}, map[string]bool{}
	var noteChildren func(of int)
	noteChildren = func(of int) {
		out, _ := exec.Command("pgrep", "-P", strconv.Itoa(of)).Output()
		for _, child := range strings.Fields(string(out)) {
			pid, _ := strconv.Atoi(child)
			fd, err := unix.PidfdOpen(pid, 0) // unlike a number, never another process's
			if err != nil {
				continue // at its end
			}
			t.Cleanup(func() { unix.Close(fd) })
			processes[pid] = fd
			if group := cgroup(pid); group != cgroup(os.Getpid()) {
				cgroups[group] = true
			}
			noteChildren(pid)
		}
	}
	noteChildren(program)
	return func() (left []string) {
		for pid, fd := range processes {
			if unix.PidfdSendSignal(fd, 0, nil, 0) == nil {
				left = append(left, fmt.Sprint("process ", pid))
			}
		}
		for group := range cgroups {
			if _, err := os.Stat(group); err == nil {
				left = append(left, group)
			}
		}
		return left
	}
}
