package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// newProc has root of a new user namespace mount a proc of its own, in a new PID
// namespace, and open core_pattern there: root of the user namespace is the same
// user outside, which is all that this file looks at.
func newProc() error {
	command := exec.Command("/proc/self/exe", "new-proc")
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	out, err := command.Output()
	if err != nil {
		return err
	}
	if answer := strings.TrimSpace(string(out)); answer != "done" {
		for errno := unix.Errno(1); errno < 134; errno++ {
			if unix.ErrnoName(errno) == answer {
				return errno
			}
		}
		return os.ErrInvalid
	}
	return nil
}

// newProcInside is what runs there.
func newProcInside() error {
	if err := unix.Mount("proc", "/mnt", "proc", 0, ""); err != nil {
		return err
	}
	return open("/mnt/sys/kernel/core_pattern", unix.O_WRONLY)
}
