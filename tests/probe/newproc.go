package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newProc has root of a new user namespace mount a proc of its own, in a new
// PID namespace, and open core_pattern there: root of the user namespace is the
// same user outside, which is all that this file looks at.
func newProc() error { return inUserNamespace(unix.CLONE_NEWNS|unix.CLONE_NEWPID, "new-proc") }

// newProcInside is what runs there.
func newProcInside() error {
	if err := unix.Mount("proc", "/mnt", "proc", 0, ""); err != nil {
		return err
	}
	return open("/mnt/sys/kernel/core_pattern", unix.O_WRONLY)
}

// inUserNamespace runs this program again as root of a new user namespace, and
// returns what it has answered.
func inUserNamespace(namespaces uintptr, args ...string) error {
	command := exec.Command("/proc/self/exe", args...)
	command.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | namespaces,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
	}
	return answer(command)
}

// typeAhead puts a letter into the input of a terminal, its controlling one, as
// if somebody had typed it there (TIOCSTI of ioctl_tty(2)).
func typeAhead() error {
	master, err := os.OpenFile("/dev/pts/ptmx", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	number, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer slave.Close()
	command := exec.Command("/proc/self/exe", "type-ahead")
	command.Stdin = slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	return answer(command)
}

func typeAheadInside() error {
	letter := byte('x')
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, 0, unix.TIOCSTI, uintptr(unsafe.Pointer(&letter)))
	return failure(errno)
}

// answer runs this program, which prints what errnoOf says.
func answer(command *exec.Cmd) error {
	out, err := command.Output()
	if err != nil {
		return err
	}
	word := strings.TrimSpace(string(out))
	for errno := unix.Errno(1); errno < 134; errno++ {
		if unix.ErrnoName(errno) == word {
			return errno
		}
	}
	if word != "done" {
		return errors.New(word)
	}
	return nil
}

// abstract listens at a Unix socket of the abstract kind; askAbstract is its
// client.
func abstract(name string) error {
	listener, err := net.Listen("unix", "@"+name)
	for err == nil {
		_, err = listener.Accept()
	}
	return err
}

func askAbstract(name string) error {
	_, err := net.Dial("unix", "@"+name)
	return err
}

func init() { runtime.LockOSThread() } // for headless

func headless() error {
	go time.Sleep(time.Hour)
	_, _, err := unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
	return err
}
