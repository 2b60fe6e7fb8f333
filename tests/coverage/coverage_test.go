package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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

// What stands before execve(2) counts.
func TestRun(t *testing.T) {
	kit.Whole(t)
	dir := filepath.Join(t.TempDir(), "coverage")
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{"go.mod": "module example\n\ngo 1.26\n", "cmd/x/main.go": program} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(dir, []string{"sh", "-ec", "go build -o x ./cmd/x; ./x; ./x argument"}); err != nil {
		t.Fatal(err)
	}
	profile, err := os.ReadFile(filepath.Join(dir, "profile"))
	if err != nil {
		t.Fatal(err)
	}
	want := "mode: set\n" +
		"example/cmd/x/main.go:9.2,9.23 1 1\n" +
		"example/cmd/x/main.go:10.3,10.25 1 1\n" +
		"example/cmd/x/main.go:12.2,12.57 1 1\n" +
		"example/cmd/x/main.go:13.2,13.12 1 0\n"
	kit.Equal(t, "profile", string(profile), want)
	if out, err := exec.Command("go", "tool", "cover", "-func", filepath.Join(dir, "profile")).CombinedOutput(); err != nil {
		t.Errorf("go tool cover: %v\n%s", err, out)
	}
}
