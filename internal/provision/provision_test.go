package provision

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseInterfaces(t *testing.T) {
	got, err := ParseInterfaces(" eth1\twg0:wan\n eth0.100:eth0 ")
	want := []Interface{{"eth1", "eth1"}, {"wg0", "wan"}, {"eth0.100", "eth0"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, list := range []string{":", "eth1:", ":wan", "eth1:a:b", "lo", "eth1:lo", "eth1/2", "..", "eth%d", "a23456789012345b"} {
		if got, err := ParseInterfaces(list); err == nil {
			t.Errorf("%q is read as %v", list, got)
		}
	}
}

func TestParseSysctls(t *testing.T) {
	got, err := ParseSysctls("net.ipv4.ip_forward=1\n\tnet.ipv4.tcp_rmem=4096 131072  6291456 net/ipv4/x=\n")
	want := []Sysctl{{"net.ipv4.ip_forward", "1"}, {"net.ipv4.tcp_rmem", "4096 131072 6291456"}, {"net/ipv4/x", ""}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, list := range []string{"=1", "net.ipv4.ip_forward", "1 net.ipv4.ip_forward=1", "kernel.hostname=x", "net=1", "net./=1",
		"net/../kernel/hostname=x", "net...kernel=1", "/net/ipv4/ip_forward=1", "net//ipv4=1"} {
		if got, err := ParseSysctls(list); err == nil {
			t.Errorf("%q is read as %v", list, got)
		}
	}
}

func TestSysctlPathIsThatOfSysctl(t *testing.T) {
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":              "net/ipv4/ip_forward",
		"net/ipv4/ip_forward":              "net/ipv4/ip_forward",
		"net.ipv4.conf.eth0/100.rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
		"net/ipv4/conf/eth0.100/rp_filter": "net/ipv4/conf/eth0.100/rp_filter",
	} {
		if got := sysctlPath(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

func TestJournalComesBackAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journals", "vpn", "setup")
	j, err := readJournal(path)
	if err != nil || j.id.Inode != 0 {
		t.Fatalf("before any was written: %v, %v", j, err)
	}
	j.id.Inode, j.id.Cookie, j.made = 4026532251, 17, true
	for _, words := range [][]string{{loopback}, {sysctl, "net.ipv4.tcp_rmem", "4096\t131072\t6291456"}, {moved, "eth1", `"w"`, ""}} {
		if err := j.note(words[0], words[1:]...); err != nil {
			t.Fatal(err)
		}
	}
	got, err := readJournal(path)
	if diff := cmp.Diff(j, got, cmp.AllowUnexported(journal{}, step{})); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if err := j.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(filepath.Dir(path))); err == nil {
		t.Error("the directories are left")
	}
}

func TestJournalOfAnotherBootIsEmpty(t *testing.T) {
	path := filepath.Join(t.TempDir(), "setup")
	if err := os.WriteFile(path, []byte("namespace 1 2 true another\nloopback \"\" \"\" \"\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if j, err := readJournal(path); err != nil || j.id.Inode != 0 || j.made || len(j.steps) != 0 {
		t.Errorf("it is read as %v, %v", j, err)
	}
}

func TestDamagedJournalIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "setup")
	boot, err := thisBoot()
	if err != nil {
		t.Fatal(err)
	}
	good := "namespace 1 2 true " + boot + "\n"
	for _, text := range []string{"", "namespace", "namespace 1 2\n", "namespace 1 2 true\n", "namespace x 2 true " + boot + "\n", good + "moved\n",
		good + "moved \"a\" \"b\"\n", good + "moved \"a\" \"b\" \"c\" \"d\"\n", good + "other \"a\" \"b\" \"c\"\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if j, err := readJournal(path); err == nil {
			t.Errorf("%q is read as %v", text, j)
		}
	}
	if err := os.WriteFile(path, []byte(good), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readJournal(path); err != nil {
		t.Error(err)
	}
}

// A variable in the environment makes no process one of ours: anybody's may have
// it.
func TestMarkedExecutesTheProgram(t *testing.T) {
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	text, err := os.ReadFile(sleep)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, program), text, 0o755); err != nil {
		t.Fatal(err)
	}
	line := markOf(t.Name(), "wg0")
	start := func(path string) int {
		cmd := exec.Command(path, "1000")
		cmd.Env = []string{line}
		if err := cmd.Start(); errors.Is(err, fs.ErrPermission) {
			t.Skip("no file can be executed where the tests have theirs: ", err)
		} else if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd.Process.Pid
	}
	start(sleep)
	ours := start(filepath.Join(dir, program))
	if got := marked(line); !slices.Equal(got, []int{ours}) {
		t.Errorf("found %v, want %d alone", got, ours)
	}
}
