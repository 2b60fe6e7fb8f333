package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A build as any Go programmer types it links. Its programs refuse to run.
func TestPlainBuild(t *testing.T) {
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "./cmd/...")
	build.Dir = ".."
	build.Env = slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "GOFLAGS=") || strings.HasPrefix(entry, "CGO_ENABLED=")
	})
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, test := range []struct {
		argv   []string
		status int
	}{
		{[]string{"netns-exec", "/proc/self/ns/net", "echo", "ran"}, 125},
		{[]string{"netns-publish", "vpn", "127.0.0.1:80"}, 1},
		{[]string{"openrc-netns-hook", "leave", "--service", "x"}, 1},
		{[]string{"rc-netns", "status"}, 125},
	} {
		cmd := exec.Command(filepath.Join(dir, test.argv[0]), test.argv[1:]...)
		out, _ := cmd.CombinedOutput()
		status := cmd.ProcessState.ExitCode()
		if said := string(out); status != test.status || strings.Count(said, "\n") != 1 || !strings.HasSuffix(said, ": build it with make\n") {
			t.Errorf("%q: status %d, %s", test.argv, status, said)
		}
	}
}
