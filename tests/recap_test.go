package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What failed comes last, whatever was printed after it.
func TestRecap(t *testing.T) {
	table := filepath.Join(t.TempDir(), "table")
	if err := os.WriteFile(table, []byte("the table\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const said = `ok  	a	0.1s
--- FAIL: TestOne (0.10s)
    --- FAIL: TestOne/sub (0.05s)
        one_test.go:7: no such thing
            three
            four
            five
    --- PASS: TestOne/other (0.05s)
FAIL
FAIL	b	0.2s
FAIL	c [build failed]
ok  	d	0.1s
`
	for name, test := range map[string]struct{ file, command, want string }{
		"failed": {table, "cat; exit 3", said + `the table
What failed:
--- FAIL: TestOne (0.10s)
    --- FAIL: TestOne/sub (0.05s)
        one_test.go:7: no such thing
            three
            four
FAIL	c [build failed]
status 3`},
		"passed":   {table, "echo fine", "fine\nthe table\nstatus 0"},
		"no table": {table + ".none", "echo fine >&2; exit 1", "fine\nstatus 1"},
		"killed":   {table + ".none", "kill -9 $$", "Killed\nstatus 137"},
	} {
		t.Run(name, func(t *testing.T) {
			command := exec.Command("sh", "-c", `printf %s "$0" | { ./recap "$1" sh -c "$2"; echo "status $?"; }`, said, test.file, test.command)
			out, err := command.CombinedOutput()
			if err != nil {
				t.Fatal(err)
			}
			if got := string(out); got != test.want+"\n" {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}
