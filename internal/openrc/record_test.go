package openrc

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

func TestRecordComesBackAsWritten(t *testing.T) {
	t.Setenv("RC_SVCDIR", t.TempDir())
	if r, err := ReadRecord("sshd"); r != nil || err != nil {
		t.Errorf("before any was written: %v, %v", r, err)
	}
	for _, want := range []Record{
		{ID: namespace.ID{Inode: 4026532251, Cookie: 17}, Cgroup: "/openrc.sshd", Netns: "vpn"},
		{ID: namespace.ID{Inode: 1}, Netns: "/run/name space/with blanks", Mounts: mounts.ID{Inode: 4026532252, Number: 1 << 40}},
		{ID: namespace.ID{Inode: 2, Cookie: 3}, Cgroup: "/with blanks", Mounts: mounts.ID{Inode: 3}, View: Settings{Hide: "/a\n/b"}.viewLine()},
	} {
		if _, err := want.write("sshd"); err != nil {
			t.Fatal(err)
		}
		got, err := ReadRecord("sshd")
		if err != nil || *got != want {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
	}
}

// TestRecordOfAFailedStart takes back what a start wrote: with it goes all that
// was made, and what was there before is there again.
func TestRecordOfAFailedStart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RC_SVCDIR", dir)
	record := Record{ID: namespace.ID{Inode: 5, Cookie: 6}, Netns: "vpn"}
	if err := os.Mkdir(filepath.Join(dir, "options"), 0o755); err != nil {
		t.Fatal(err)
	}
	undo, err := record.write("sshd")
	if err != nil {
		t.Fatal(err)
	}
	undo()
	if left, _ := filepath.Glob(filepath.Join(dir, "options", "*")); left != nil {
		t.Errorf("left behind: %q", left)
	}

	if _, err = record.write("sshd"); err != nil {
		t.Fatal(err)
	}
	undo, err = Record{ID: namespace.ID{Inode: 7}, Netns: "other"}.write("sshd")
	if err != nil {
		t.Fatal(err)
	}
	undo()
	if got, err := ReadRecord("sshd"); err != nil || *got != record {
		t.Errorf("got %v, %v, want %v", got, err, record)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "options", "sshd", ".*")); left != nil {
		t.Errorf("left behind: %q", left)
	}
}

// Before Linux 6.11 a mount namespace has an inode and no number, and the inode
// may be another's: only a process that OpenRC has on record shows the way
// there.
func TestViewWithoutANumber(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	t.Setenv("RC_SVCDIR", dir)
	here, err := mounts.CurrentID()
	if err != nil {
		t.Fatal(err)
	}
	ns, err := namespace.Current()
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	record := Record{ID: namespace.ID{Inode: ns.Inode()}, Mounts: mounts.ID{Inode: here.Inode}}
	if record.findView("sshd") != nil {
		t.Error("found through a process that is not on record")
	}
	daemons := filepath.Join(dir, "daemons", "sshd")
	if err := os.MkdirAll(daemons, 0o755); err != nil {
		t.Fatal(err)
	}
	pidfile := filepath.Join(dir, "pid")
	for path, text := range map[string]string{
		filepath.Join(daemons, "001"): "exec=sleeper\npidfile=" + pidfile + "\n",
		pidfile:                       strconv.Itoa(os.Getpid()),
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if view := record.findView("sshd"); view == nil {
		t.Error("not found through the process on record")
	} else {
		view.Close()
	}
	record.ID.Inode++
	if record.findView("sshd") != nil {
		t.Error("found in another network namespace")
	}
}

func TestDamagedRecordIsAnError(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("RC_SVCDIR", dir)
	path := filepath.Join(dir, "options", "sshd", "netns")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	// One that the first release wrote has no mount namespace.
	if err := os.WriteFile(path, []byte("1\n2\n/openrc.sshd\nvpn\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := Record{ID: namespace.ID{Inode: 1, Cookie: 2}, Cgroup: "/openrc.sshd", Netns: "vpn"}
	if r, err := ReadRecord("sshd"); err != nil || *r != want {
		t.Errorf("got %v, %v, want %v", r, err, want)
	}
	for _, text := range []string{"", "1", "1\n2\n", "x\n2\n\nvpn\n", "1\nx\n\nvpn\n", "-1\n2\n\nvpn\n", "1\n2\n\nvpn", "1\n2\n\nvpn\n3\n", "1\n2\n\nvpn\n3\nx\n", "1\n2\n\nvpn\n3\n4", "1\n2\n\nvpn\n3\n4\n", "1\n2\n\nvpn\n3\n4\n\nx"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if r, err := ReadRecord("sshd"); err == nil {
			t.Errorf("%q was read as %v", text, r)
		}
	}
}

func TestSettingsKnowTheirWords(t *testing.T) {
	for _, s := range []Settings{
		{Netns: "vpn"}, {Etc: "yes"}, {Etc: "Off"}, {Lock: "yes"}, {Lock: "NO"}, {Lock: "1"}, {Lock: "off"},
	} {
		if _, err := s.Spec(); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for _, s := range []Settings{{Etc: "bind"}, {Etc: "none"}, {Lock: "y"}, {Lock: "2"}, {Lock: "yes "}} {
		if _, err := s.Spec(); err == nil {
			t.Errorf("%+v was accepted", s)
		}
	}
	spec, err := Settings{Netns: "vpn", Hide: " /a\t/b  /c "}.Spec()
	if err != nil || len(spec.View.Hide) != 3 {
		t.Errorf("hide: %q, %v", spec.View.Hide, err)
	}
}
