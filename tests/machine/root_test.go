package machine_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

// fakeBuilder puts a script in the place of mmdebstrap, with the folder to
// build in $root, and returns a new cache.
func fakeBuilder(t *testing.T, script string) (cache string) {
	t.Helper()
	kit.Require(t)
	cache = t.TempDir()
	// Where this test is, programs can be executed.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := os.MkdirTemp(filepath.Dir(self), "bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(bin) })
	script = "#!/bin/sh\nfor root; do :; done\nmkdir \"$root\"\n" + script
	if err := os.WriteFile(filepath.Join(bin, "mmdebstrap"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	t.Setenv("OPENRC_NETNS_CACHE", cache)
	return cache
}

func TestRootIsBuiltOnce(t *testing.T) {
	cache := fakeBuilder(t, `echo >>"$(dirname "$root")/built"; sleep .3; touch "$root/complete"`)
	var builders sync.WaitGroup
	for range 4 {
		builders.Go(func() {
			root, err := machine.Root("trixie")
			if err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root, "complete")); err != nil {
				t.Errorf("root is not complete: %v", err)
			}
		})
	}
	builders.Wait()
	if built, _ := os.ReadFile(filepath.Join(cache, "built")); len(built) != 1 {
		t.Errorf("built %d times", len(built))
	}
}

func TestFailedBuildLeavesNothing(t *testing.T) {
	cache := fakeBuilder(t, "echo E: no mirror >&2; exit 25")
	_, err := machine.Root("sid")
	if err == nil || !strings.Contains(err.Error(), "E: no mirror") {
		t.Errorf("error does not say why: %v", err)
	}
	wantNoRoot(t, cache)
}

func wantNoRoot(t *testing.T, cache string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".lock") {
			t.Errorf("left in the cache: %s", entry.Name())
		}
	}
}

func TestErrorsTellTheRemedy(t *testing.T) {
	kit.Require(t)
	wantError := func(err error, want string) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, not %q", err, want)
		}
	}
	_, err := machine.Root("potato")
	wantError(err, "sid, trixie or bookworm")
	_, err = machine.Start(machine.Options{Shell: "fish"})
	wantError(err, "dash, bash or busybox")
	t.Setenv("PATH", t.TempDir())
	_, err = machine.Start(machine.Options{})
	wantError(err, "apt-get install mmdebstrap")
}
