package openrc

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStateAndDaemons(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RC_SVCDIR", dir)
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	state := func(want State) {
		t.Helper()
		if got := ReadState("web"); got != want {
			t.Errorf("state %q, want %q", got, want)
		}
	}
	state(Stopped)
	for _, s := range []State{Failed, Started, Starting, Stopping, Inactive} { // each outdoes those before
		file(string(s)+"/web", "")
		state(s)
	}

	if d := ReadDaemons("web"); d.PIDs != nil || d.Lost || d.Child != 0 {
		t.Errorf("nothing on record: %+v", d)
	}
	pidfile := file("web.pid", "123\n")
	file("daemons/web/001", "exec=/usr/sbin/web\nargv_0=web\nargv_1=--pidfile=/nowhere\npidfile="+pidfile+"\n")
	file("daemons/web/002", "exec=/usr/sbin/helper\npidfile=\n")
	file("options/web/child_pid", "124\n")
	if d := ReadDaemons("web"); !slices.Equal(d.PIDs, []int{123}) || d.Lost || d.Child != 124 {
		t.Errorf("%+v", d)
	}
	// Neither what is no number nor what would block.
	for _, broken := range []func() error{
		func() error { return os.WriteFile(pidfile, []byte("soon\n"), 0o644) },
		func() error { return os.Remove(pidfile) },
		func() error { return unix.Mkfifo(pidfile, 0o644) },
	} {
		if err := broken(); err != nil {
			t.Fatal(err)
		}
		if d := ReadDaemons("web"); d.PIDs != nil || !d.Lost {
			t.Errorf("%+v", d)
		}
	}
}
