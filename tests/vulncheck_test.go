package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// entry is one of a vulnerability database, on a function that internal/version
// calls and internal/option does not.
const entry = `{"schema_version": "1.3.1", "id": "GO-0000-0001",
"modified": "2024-01-01T00:00:00Z", "published": "2024-01-01T00:00:00Z",
"summary": "made for a test", "database_specific": {"url": "none"},
"affected": [{"package": {"name": "stdlib", "ecosystem": "Go"},
	"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
	"ecosystem_specific": {"imports": [{"path": "runtime/debug", "symbols": ["ReadBuildInfo"]}]}}]}`

// A vulnerability fails, a mistake fails, and a network that is not there does
// not, but is not kept quiet either.
func TestVulncheck(t *testing.T) {
	db := t.TempDir()
	if err := os.WriteFile(filepath.Join(db, "GO-0000-0001.json"), []byte(entry), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		code int
		want string // in what it prints; nothing if empty
	}{
		"nothing found":   {[]string{"-db", "file://" + db, "../internal/option"}, 0, ""},
		"a vulnerability": {[]string{"-db", "file://" + db, "../internal/version"}, 3, "GO-0000-0001"},
		"no such package": {[]string{"-db", "file://" + db, "../internal/nowhere"}, 1, "nowhere"},
		"no network":      {[]string{"../internal/option"}, 0, "SKIPPED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("./vulncheck", test.args...)
			// Nothing listens on this port.
			cmd.Env = append(os.Environ(), "HTTPS_PROXY=http://127.0.0.1:1")
			out, err := cmd.CombinedOutput()
			code := 0
			if exit, is := err.(*exec.ExitError); is {
				code = exit.ExitCode()
			} else if err != nil {
				t.Fatal(err)
			}
			if code != test.code || (test.want == "") != (len(out) == 0) || !strings.Contains(string(out), test.want) {
				t.Errorf("exit status %d, want %d, and %q in:\n%s", code, test.code, test.want, out)
			}
		})
	}
}
