package confd

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shell is a running shell that reads conf.d files for us, as OpenRC would have
// it do.
//
// Only files that Parse accepts may be given to it. Should the pattern have a hole,
// the shell runs as nobody where it can, finds no command in PATH and cannot write to
// a file.
type shell struct {
	name string
	dir  string // where it reads the file "input"
	ask  *os.File
	tell *bufio.Reader
	kill func()
}

// dirt is the text that variables hold in the second of two readings; word
// splitting, globbing or evaluation of any of it would be seen.
const dirt = `a  netns=split * $(vrf=run) ~ "b" netns=split`

// end is the last field of an answer. No value that Parse accepts holds a
// control character.
const end = "\x01end"

// startShells starts every /bin/sh that OpenRC is known to meet. What is
// missing is reported, and fatal under CI=true.
func startShells(t testing.TB, names []string) []*shell {
	t.Helper()
	var shells []*shell
	for _, s := range []struct {
		name, locale string
		argv         []string
	}{
		{"sh", "C", []string{"sh"}},
		{"dash", "C.UTF-8", []string{"dash"}},
		{"bash", "C", []string{"bash", "--posix"}},
		{"bash in UTF-8", "C.UTF-8", []string{"bash", "--posix"}},
		{"busybox ash", "C", []string{"busybox", "ash"}},
	} {
		path, err := exec.LookPath(s.argv[0])
		switch {
		case err == nil:
			shells = append(shells, startShell(t, s.name, path, s.argv, s.locale, names))
		case os.Getenv("CI") == "true" || s.name == "sh":
			t.Fatalf("%s is not installed: %v", s.name, err)
		default:
			t.Logf("not compared with %s, which is not installed", s.name)
		}
	}
	return shells
}

func startShell(t testing.TB, name, path string, argv []string, locale string, names []string) *shell {
	t.Helper()
	dir, err := os.MkdirTemp("", "confd")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil { // nobody must be able to read it
		t.Fatal(err)
	}

	askRead, ask, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tell, tellWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &exec.Cmd{
		Path:   path,
		Args:   append(argv[:len(argv):len(argv)], "-c", script(names)),
		Env:    []string{"PATH=/nonexistent", "LC_ALL=" + locale},
		Dir:    dir,
		Stdin:  askRead,
		Stdout: tellWrite,
		Stderr: os.Stderr,
	}
	if os.Geteuid() == 0 {
		const nobody = 65534
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	askRead.Close()
	tellWrite.Close()
	t.Cleanup(func() {
		ask.Close()
		cmd.Wait()
		tell.Close()
	})
	return &shell{name, dir, ask, bufio.NewReader(tell), func() { cmd.Process.Kill() }}
}

// script returns what the shell runs: for every line on standard input it reads
// the file twice, first with no variables set, then with as many as a file may
// refer to. NUL ends each field of its answer, as no value can hold one.
func script(names []string) string {
	var preset, report strings.Builder
	for _, name := range names {
		fmt.Fprintf(&preset, "%s=before; ", name)
		fmt.Fprintf(&report, `printf '%%s\0' "%s${%[1]s+=$%[1]s}"; `, name)
	}
	for _, name := range strings.Fields("A B C FOO BAR OTHER SVCNAME RC_SVCNAME SSHD_OPTS a b c d e f g h i j k l m n o p q r s t u v w x y z") {
		fmt.Fprintf(&preset, "%s='%s'; ", name, dirt)
	}
	const read = `exec 2>&1 </dev/null; . ./input; printf '\0%s\0' "$?"; `
	return "ulimit -f 0\nwhile read -r go; do\n" +
		"( " + read + report.String() + ")\n" +
		"( " + preset.String() + read + report.String() + ")\n" +
		"printf '\\1end\\0'\ndone"
}

// read returns the values of names that the shell has after it has read src, in
// the form NAME=VALUE, or NAME where it is not set; first when none of them was
// set before, then when each was "before". It fails the test if the shell was
// not happy with src.
func (s *shell) read(t testing.TB, src []byte, names []string) (clean, preset []string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "input"), src, 0o644); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(20*time.Second, s.kill)
	defer timer.Stop()
	if _, err := s.ask.WriteString("go\n"); err != nil {
		t.Fatalf("%s: %v, with %q", s.name, err, src)
	}
	var fields []string
	for len(fields) == 0 || !strings.HasSuffix(fields[len(fields)-1], end) {
		field, err := s.tell.ReadString(0)
		if err != nil {
			t.Fatalf("%s: %v, with %q; it said %q", s.name, err, src, fields)
		}
		fields = append(fields, strings.TrimSuffix(field, "\x00"))
	}

	each := 2 + len(names) // what the file printed, the status, the values
	if len(fields) != 2*each+1 {
		t.Fatalf("%s gave up on %q; it said %q", s.name, src, fields)
	}
	for _, answer := range [][]string{fields[:each], fields[each : 2*each]} {
		noise, status := answer[0], answer[1]
		if status != "0" || noise != "" {
			t.Fatalf("%s was not happy with %q: status %s, it said %q", s.name, src, status, noise)
		}
	}
	return fields[2:each], fields[each+2 : 2*each]
}

// agree fails the test unless the shell has the same values as Parse gave.
func (s *shell) agree(t testing.TB, src []byte, names []string, values map[string]string) {
	t.Helper()
	clean, preset := s.read(t, src, names)
	for i, name := range names {
		wantClean, wantPreset := name, name+"=before"
		if value, ok := values[name]; ok {
			wantClean = name + "=" + value
			wantPreset = wantClean
		}
		if clean[i] != wantClean {
			t.Errorf("%s has %q, Parse has %q, after %q", s.name, clean[i], wantClean, src)
		}
		if preset[i] != wantPreset {
			t.Errorf("%s, with variables set before, has %q, Parse has %q, after %q", s.name, preset[i], wantPreset, src)
		}
	}
}
