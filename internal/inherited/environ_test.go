//go:build !mips && !mipsle && !mips64 && !mips64le

package inherited

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A test starts at the runtime's own entry point, where nothing is hidden: the
// environment is right all the same. (With the other one: tests/cli.)
func TestEnviron(t *testing.T) {
	if os.Getenv("ODD") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestEnviron$", "-test.v")
		cmd.Env = []string{"O=1", "ODD=GO", "GODEBUG=", "GOOD=2", "ODEBUG=3", "G=", "O"}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS") {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	given, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSuffix(string(given), "\x00"), "\x00")
	if got := Environ(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// The binaries start elsewhere: with one processor, so with few threads, and
// without a trace of that.
func TestEntry(t *testing.T) {
	program := filepath.Join(t.TempDir(), "entry")
	build := exec.Command("go", "build", "-ldflags=-checklinkname=0 -E _openrc_netns_entry", "-o", program, "./testdata/entry")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, test := range []struct {
		env  []string
		want string
	}{
		{[]string{"A=1", "GOMAXPROCS=8"}, `1 "" false A="1" ["A=1" "GOMAXPROCS=8"]`},
		{[]string{"GOMAXPROCS=8", "A=1"}, `1 "" false A="1" ["GOMAXPROCS=8" "A=1"]`},
		{[]string{"A", "GODEBUG=gctrace=1"}, `1 "" false A="" ["A" "GODEBUG=gctrace=1"]`},
	} {
		out, err := (&exec.Cmd{Path: program, Env: test.env}).CombinedOutput()
		if got := strings.TrimSpace(string(out)); got != test.want || err != nil {
			t.Errorf("%q: %v\n%s\nwant\n%s", test.env, err, got, test.want)
		}
	}
	out, err := (&exec.Cmd{Path: program, Env: []string{}}).CombinedOutput()
	if !strings.HasSuffix(string(out), "\"\" false A=\"\" []\n") || err != nil {
		t.Errorf("without an environment: %v\n%s", err, out)
	}
}
