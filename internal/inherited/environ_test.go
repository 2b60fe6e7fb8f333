//go:build !mips && !mipsle && !mips64 && !mips64le

package inherited

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

func TestEnviron(t *testing.T) {
	if err := Check(); err != nil {
		t.Skip(err)
	}
	if os.Getenv("ODD") == "" {
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestEnviron$", "-test.v")
		cmd.Env = []string{"A=1", "ODD=GO", "A=2", "", "GODEBUG=", "=", "O", "A=1"}
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
