package mounts

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBindAgain loses a bind in each way there is, and has it made again.
func TestBindAgain(t *testing.T) {
	runtime.LockOSThread() // and no unlock: the thread's mounts go with it
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		t.Skip("needs root:", err)
	}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("TMPDIR", "") // a blank in it would be an escape in the table
	dir := t.TempDir()
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	check(unix.Mount("none", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	check(os.Mkdir(dir+"/vpn", 0o755))
	b := Bind{dir + "/vpn/resolv.conf", dir + "/resolv.conf"}
	replace := func(path, content string) {
		t.Helper()
		next := filepath.Join(filepath.Dir(path), "new")
		check(os.WriteFile(next, []byte(content), 0o644))
		check(os.Rename(next, path))
	}
	mounted := func() int {
		t.Helper()
		table, err := os.ReadFile("/proc/thread-self/mountinfo")
		check(err)
		return strings.Count(string(table), " "+b.Target+" ")
	}
	replace(b.Target, "host's")
	replace(b.Source, "vpn's")
	ns, err := openNamespace("/proc/thread-self/ns/mnt")
	check(err)
	defer ns.Close()
	again := func(want bool, content string) {
		t.Helper()
		bound, err := ns.BindAgain(b)
		check(err)
		seen, err := os.ReadFile(b.Target)
		check(err)
		if bound != want || string(seen) != content || mounted() != 1 {
			t.Errorf("bound %v, want %v; %q, want %q; %d mounts", bound, want, seen, content, mounted())
		}
	}
	again(true, "vpn's")
	again(false, "vpn's")
	replace(b.Source, "vpn's other")
	again(true, "vpn's other")
	check(unix.Unmount(b.Target, 0))
	again(true, "vpn's other")
}
