package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// A mutation that a command notices is killed, by the first that does; others
// survive, and -from tries them again where the text has moved.
func TestMutations(t *testing.T) {
	kit.Whole(t)
	kit.Require(t) // for root
	t.Chdir(t.TempDir())
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	commit := func() {
		t.Helper()
		out, err := exec.Command("sh", "-ec", "git init -q; git add .; git -c user.name=a -c user.email=a commit -qm a").CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	const noticed = "package main\n\nimport \"os\"\n\nvar failed, code = false, 1\n\nfunc main() {\n\tif failed {\n\t\tos.Exit(code)\n\t}\n}\n"
	const ignored = "package main\n\nvar _ = ignored\n\nfunc ignored() bool {\n\treturn 1 > 2\n}\n"
	write("go.mod", "module example\n\ngo 1.26\n")
	write("Makefile", "build:\n\tgo build -o x ./cmd/netns-exec\n")
	write("cmd/netns-exec/main.go", noticed)
	write("cmd/netns-exec/ignored.go", ignored)
	write("openrc/service.sh", "stop()\n{\n\texit 1\n}\nstop\n")
	commit()
	set := func(name, value string) {
		t.Helper()
		if err := flag.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	list := filepath.Join(t.TempDir(), "survivors")
	set("survivors", list)
	set("n", "9")
	kills := []string{"./x", "! sh openrc/service.sh"}
	if err := run(t.Context(), kills); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(left), "\n") != 1 || !strings.Contains(string(left), "ignored.go") {
		t.Errorf("these have survived:\n%s", left)
	}

	write("cmd/netns-exec/ignored.go", "\n\n"+ignored)
	commit()
	set("from", list)
	if err := run(t.Context(), append(kills, "grep -q '1 > 2' cmd/netns-exec/ignored.go")); err != nil {
		t.Fatal(err)
	}
	if left, err = os.ReadFile(list); err != nil || len(left) > 0 {
		t.Errorf("%v, and these have survived:\n%s", err, left)
	}
}
