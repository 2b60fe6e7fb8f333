package mounts

import (
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBothListsAgree compares what the kernel answers with what its mount table
// says, with mounts over mounts and more than fit into one answer.
func TestBothListsAgree(t *testing.T) {
	runtime.LockOSThread() // and no unlock: the thread's mounts go with it
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		t.Skip("needs root:", err)
	}
	mount := func(source, target, kind string, flags uintptr) {
		t.Helper()
		if err := unix.Mount(source, target, kind, flags, ""); err != nil {
			t.Fatal(target, err)
		}
	}
	mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE)
	mount("sysfs", "/sys", "sysfs", unix.MS_NOEXEC|unix.MS_NODEV)
	compare := func() {
		t.Helper()
		asked, askedBelow, err := askMountsOfSys()
		if err == unix.ENOSYS {
			t.Skip("this kernel has no statmount(2)")
		}
		if err != nil {
			t.Fatal(err)
		}
		read, readBelow, err := readMountsOfSys()
		if err != nil {
			t.Fatal(err)
		}
		if (asked == nil) != (read == nil) || asked != nil && asked.attr&^unix.MOUNT_ATTR_RELATIME != read.attr {
			t.Errorf("asked %+v, read %+v", asked, read)
		}
		slices.Sort(askedBelow)
		slices.Sort(readBelow)
		if !slices.Equal(askedBelow, readBelow) {
			t.Errorf("asked %q, read %q", askedBelow, readBelow)
		}
	}
	compare()
	mount("below", "/sys/kernel", "tmpfs", unix.MS_RDONLY)
	compare()
	mount("over", "/sys/kernel", "tmpfs", 0)
	if err := unix.Mkdir("/sys/kernel/deeper", 0o755); err != nil {
		t.Fatal(err)
	}
	for range 150 {
		mount("deep", "/sys/kernel/deeper", "tmpfs", 0)
	}
	mount("last", "/sys/fs", "tmpfs", 0)
	compare()
	mount("", "/sys", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|unix.MS_NOSUID)
	compare()
	mount("no sysfs", "/sys", "tmpfs", 0)
	compare()
}
