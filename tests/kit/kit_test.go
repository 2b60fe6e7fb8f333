package kit

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"openrc-netns/tests/machine"
)

// fake says of a script what it is asked to, and keeps what is written to it.
type fake struct {
	machine.Result
	modes map[string]os.FileMode
	files map[string]string
}

func (f fake) Run(string) machine.Result            { return f.Result }
func (f fake) ReadFile(name string) (string, error) { return f.files[name], nil }
func (f fake) WriteFile(name string, mode os.FileMode, content string) error {
	if name == "/proc/full" {
		return fmt.Errorf("write %s: no space", name)
	}
	f.modes[name], f.files[name] = mode, content
	return nil
}

// judged is a test that is looked at from another one.
type judged struct {
	testing.TB
	failed, fatal bool
}

func (j *judged) Helper()               {}
func (j *judged) Errorf(string, ...any) { j.failed = true }
func (j *judged) Fatalf(string, ...any) { j.fatal = true; runtime.Goexit() }
func (j *judged) Fatal(...any)          { j.fatal = true; runtime.Goexit() }

// verdict is what becomes of a test: ok, failed, or ended.
func verdict(play func(t testing.TB)) string {
	j := &judged{}
	done := make(chan struct{})
	go func() { defer close(done); play(j) }()
	<-done
	switch {
	case j.fatal:
		return "ended"
	case j.failed:
		return "failed"
	}
	return "ok"
}

func TestVerdicts(t *testing.T) {
	fine := fake{Result: machine.Result{Stdout: "said\n"}}
	bad := fake{Result: machine.Result{Stdout: "said\n", Stderr: "why\n", Code: 1}}
	for name, test := range map[string]struct {
		want string
		play func(t testing.TB)
	}{
		"equal":         {"ok", func(t testing.TB) { Equal(t, "x", "a", "a") }},
		"unequal":       {"failed", func(t testing.TB) { Equal(t, "x", "a", "b") }},
		"contained":     {"ok", func(t testing.TB) { Contains(t, "abc", "b") }},
		"not contained": {"failed", func(t testing.TB) { Contains(t, "abc", "d") }},
		"said":          {"ok", func(t testing.TB) { Equal(t, "output", Sh(t, fine, "x"), "said") }},
		"sh fails":      {"ended", func(t testing.TB) { Sh(t, bad, "x") }},
		"host's sh":     {"ended", func(t testing.TB) { (&Host{bad, t}).Sh("x") }},
		"why":           {"ok", func(t testing.TB) { Equal(t, "errors", (&Host{bad, t}).Fails("x"), "why\n") }},
		"does not fail": {"ended", func(t testing.TB) { (&Host{fine, t}).Fails("x") }},
		"not written":   {"ended", func(t testing.TB) { (&Host{fine, t}).Write("/proc/full", "") }},
	} {
		if got := verdict(test.play); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestWrite(t *testing.T) {
	f := fake{modes: map[string]os.FileMode{}, files: map[string]string{}}
	h := Host{f, t}
	h.Write("/etc/init.d/x", "#!/sbin/openrc-run\n")
	h.Write("/etc/x", "text\n")
	h.Conf("x", "netns=vpn", "vrf=mgmt")
	Equal(t, "modes", fmt.Sprint(f.modes), "map[/etc/conf.d/x:-rw-r--r-- /etc/init.d/x:-rwxr-xr-x /etc/x:-rw-r--r--]")
	Equal(t, "conf.d", f.files["/etc/conf.d/x"], "netns=vpn\nvrf=mgmt\n")
}
