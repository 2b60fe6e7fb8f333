package tests

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
)

// The table in CONTRIBUTING has each directory with what its package imports,
// or its tests where it has nothing else.
func TestContributingKnowsTheTree(t *testing.T) {
	written := map[string]string{} // imports by directory
	for line := range strings.Lines(kit.Read(t, "../CONTRIBUTING.md")) {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(cells[1], " `") {
			written[strings.Trim(cells[1], " `")] = strings.TrimSpace(cells[3])
		}
	}
	cmd := exec.Command("go", "list", "-f", "{{.ImportPath}} {{range .Imports}}{{.}} {{else}}{{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}{{end}}", "./...")
	cmd.Dir = ".."
	list, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "openrc-netns/"
	for line := range strings.Lines(string(list)) {
		fields := strings.Fields(line)
		dir := strings.TrimPrefix(fields[0], module)
		var imports []string
		for _, path := range fields[1:] {
			if own, is := strings.CutPrefix(path, module); is && own != dir {
				imports = append(imports, strings.TrimPrefix(own, "internal/"))
			}
		}
		slices.Sort(imports)
		want := strings.Join(slices.Compact(imports), " ")
		if got, is := written[dir]; !is || got != want {
			t.Errorf("`%s` imports %q, and CONTRIBUTING.md says %q", dir, want, got)
		}
		delete(written, dir)
	}
	for dir := range written {
		if _, err := os.Stat("../" + dir); err != nil {
			t.Errorf("CONTRIBUTING.md has `%s`: %v", dir, err)
		} else if strings.Contains(dir, "/") {
			t.Errorf("CONTRIBUTING.md has `%s`, which is no package", dir)
		}
	}
}

// A name is looked up where a start needs the address of an endpoint, and
// nowhere else: who decides what a program looks at would decide what is sent.
func TestOnePlaceAsksTheResolver(t *testing.T) {
	asks := regexp.MustCompile(`\bnet\.(Resolve|Lookup|Dial|Listen|DefaultResolver)`)
	var found []string
	for _, dir := range []string{"../cmd", "../internal"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			if asks.Match(text) {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"../internal/provision/resolve.go"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}
