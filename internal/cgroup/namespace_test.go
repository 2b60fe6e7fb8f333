package cgroup

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// In a cgroup namespace the paths of /proc/PID/cgroup start elsewhere than what the
// host has mounted.
func TestRootInACgroupNamespace(t *testing.T) {
	runtime.LockOSThread() // and no unlock: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		t.Skip(err)
	}
	for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, ok := openRoot(dir); ok {
			t.Errorf("%s counts as the root", dir)
		}
	}
}
