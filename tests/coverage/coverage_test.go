package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/tests/kit"
)

const program = `package main

import (
	"os"
	"syscall"
)

func main() {
	if len(os.Args) > 1 {
		println("an argument")
	}
	err := syscall.Exec("/bin/true", []string{"true"}, nil)
	panic(err)
}
`

// What stands before execve(2) counts, and a run that executes less is found,
// wherever the statement has moved.
func TestRunAndCompare(t *testing.T) {
	kit.Whole(t)
	dir := t.TempDir()
	once := func(name, source, command string) string {
		t.Chdir(t.TempDir())
		for name, content := range map[string]string{"go.mod": "module example\n\ngo 1.26\n", "cmd/x/main.go": source} {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		name = filepath.Join(dir, name)
		if err := run(name, []string{"sh", "-ec", "go build -o x ./cmd/x; " + command}); err != nil {
			t.Fatal(err)
		}
		profile, err := os.ReadFile(filepath.Join(name, "profile"))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("go", "tool", "cover", "-func", filepath.Join(name, "profile")).CombinedOutput(); err != nil {
			t.Errorf("go tool cover: %v\n%s", err, out)
		}
		return string(profile)
	}
	got := once("before", program, "./x; ./x argument")
	want := "mode: set\n" +
		"example/cmd/x/main.go:9.2,9.22 1 1\n" +
		"example/cmd/x/main.go:10.3,10.25 1 1\n" +
		"example/cmd/x/main.go:12.2,12.57 1 1\n" +
		"example/cmd/x/main.go:13.2,13.12 1 0\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	once("less", strings.Replace(program, "func main", "\n\nfunc main", 1), "./x")
	if err := compare(filepath.Join(dir, "before"), filepath.Join(dir, "less")); err == nil {
		t.Error("nothing is said of a run that executes less")
	}
	if err := compare(filepath.Join(dir, "less"), filepath.Join(dir, "before")); err != nil {
		t.Error(err)
	}
}
