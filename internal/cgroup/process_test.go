package cgroup

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// On a kernel without cgroups there is none to leave.
func TestLeaveInheritedWithoutCgroups(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	left := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("none", "/proc", "tmpfs", 0, "")
		}
		if err == nil {
			err = LeaveInherited()
		}
		left <- err
	}()
	if err := <-left; err != nil {
		t.Error(err)
	}
}
