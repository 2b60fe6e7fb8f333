package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ways tries each way out that netns-exec(8) has in its table, and prints what a
// locked root is to be told, empty where a lock changes nothing, and what the
// kernel says: "done", or the name of the error. Nothing is done by it: a file is
// opened and not written to, and what is made goes again.
func ways(pid, index int) error {
	runtime.LockOSThread()
	proc := fmt.Sprint("/proc/", pid)
	for _, way := range []struct {
		name, shut string
		try        func() error
	}{
		{"setns by path", "EACCES", func() error { return setns(proc + "/ns/net") }},
		{"setns by pidfd", "EPERM", func() error {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Setns(fd, unix.CLONE_NEWNET)
		}},
		{"number for another namespace", "EPERM", func() error { return newNSID(pid) }},
		{"macvlan on its device", "EPERM", func() error { return macvlan(index) }},
		{"device of one's own", "EPERM", func() error { return newLink("veth", 0, -1) }},
		{"the same as nobody with NET_ADMIN", "EPERM", func() error { return asNetAdmin(func() error { return onDeviceOf(pid, index) }) }},
		{"address", "EPERM", address},
		{"route", "EPERM", route},
		{"firewall", "EPERM", firewall},
		{"BPF program off its cgroup", "EPERM", detachOwn},
		{"the same without its descriptor", "EINVAL", func() error { return onOwnCgroup(unix.BPF_PROG_DETACH, -1) }},
		{"pidfd_getfd", "EPERM", func() error { return stealSocket(pid) }},
		{"ptrace", "EPERM", func() error {
			err := unix.PtraceSeize(pid)
			if err == nil {
				err = unix.PtraceInterrupt(pid)
				_, _ = unix.Wait4(pid, nil, unix.WALL, nil)
				_ = unix.PtraceDetach(pid)
			}
			return err
		}},
		{"memory of another process", "EACCES", func() error { return open(proc+"/mem", unix.O_RDWR) }},
		{"root of another process", "EACCES", func() error { return open(proc+"/root/", unix.O_RDONLY) }},
		{"another process as its user", "EPERM", stealAsNobody},
		{"PID of one's choice", "EPERM", choosePID},
		{"the same by ns_last_pid", "EROFS", func() error { return open("/proc/sys/kernel/ns_last_pid", unix.O_WRONLY) }},
		{"core_pattern", "EROFS", func() error { return open("/proc/sys/kernel/core_pattern", unix.O_WRONLY) }},
		{"core_pattern by a new proc", "EPERM", newProc},
		{"modprobe", "EROFS", func() error { return open("/proc/sys/kernel/modprobe", unix.O_WRONLY) }},
		{"sysctl of the network", "EROFS", func() error { return open("/proc/sys/net/ipv4/ip_forward", unix.O_WRONLY) }},
		{"sysrq-trigger", "EROFS", func() error { return open("/proc/sysrq-trigger", unix.O_WRONLY) }},
		{"uevent_helper", "EROFS", func() error { return open("/sys/kernel/uevent_helper", unix.O_WRONLY) }},
		{"uevent of a device", "EROFS", func() error { return open("/sys/class/net/lo/uevent", unix.O_WRONLY) }},
		{"parameter of a module", "EROFS", func() error { return openAny("/sys/module/*/parameters/*") }},
		{"parameter of a device", "EROFS", func() error {
			return openAny("/sys/block/*/queue/read_ahead_kb", "/sys/devices/system/clocksource/*/current_clocksource", "/sys/devices/system/cpu/cpu*/online")
		}},
		{"debugfs", "EROFS", func() error {
			return openAny("/sys/kernel/debug/clear_warn_once", "/sys/kernel/debug/fault_around_bytes", "/sys/kernel/debug/sched/verbose")
		}},
		{"tracefs", "EROFS", func() error { return open("/sys/kernel/tracing/trace_marker", unix.O_WRONLY) }},
		{"configfs", "EROFS", func() error { return unix.Mkdir("/sys/kernel/config/way-out", 0o700) }}, // subsystems alone make folders there
		{"mount", "EPERM", func() error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") }},
		{"remount of /proc/sys", "EPERM", func() error {
			return unix.Mount("", "/proc/sys", "", unix.MS_REMOUNT|unix.MS_BIND, "")
		}},
		{"node of a disk", "EPERM", func() error {
			const disk = "/tmp/way-out"
			defer os.Remove(disk)
			return unix.Mknod(disk, unix.S_IFBLK|0o600, int(unix.Mkdev(240, 0))) // local use: no driver has it
		}},
		{"file by its handle", "EPERM", openByHandle},
		{"BPF program", "EPERM", func() error {
			attr := struct {
				kind, key, value, entries uint32
			}{2, 4, 4, 1} // BPF_MAP_TYPE_ARRAY
			fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
			if errno != 0 {
				return errno
			}
			return unix.Close(int(fd))
		}},
		{"perf event of the kernel", "EACCES", func() error {
			return perfEvent(unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK}, -1, 0)
		}},
		{"tracepoint", "EACCES", tracepoint},
		{"probe in the kernel", "EACCES", kprobe},
		{"file that is mapped", "EPERM", openMapped},
		// Both ask, with flags that there are not, for nothing that could be
		// loaded. The kernel looks at the capability first.
		{"kexec_load", "EPERM", func() error { return callX86(sysKexecLoad, 0, 1<<20, 0, 0xfff8) }},
		{"kexec_file_load", "EPERM", func() error { return callX86(sysKexecFileLoad, ^uintptr(0), ^uintptr(0), 0, 0, 0xfff0) }},
		// The kernel looks at the capability first, and has no such command.
		{"reboot", "EPERM", func() error { return unix.Reboot(0x1234) }},
		{"kernel module", "EPERM", func() error { return unix.InitModule(nil, "") }},
		{"I/O port", "EPERM", func() error { return callX86(sysIoperm, 0x80, 1, 1) }},
		{"all I/O ports", "EPERM", func() error { return onThread(func() error { return callX86(sysIopl, 3) }) }},
		{"memory of the machine", "EPERM", func() error { return open("/dev/mem", unix.O_RDONLY) }},
		{"descriptor that is open", "", func() error { return useSocket(leftOpen) }},
		{"descriptor that is passed in", "", takeSocket},
		{"FIFO in the file system", "", func() error { return open("/run/way-out.fifo", unix.O_WRONLY|unix.O_NONBLOCK) }},
		{"file that others execute", "", func() error { return open("/etc/init.d/daemon", unix.O_WRONLY|unix.O_APPEND) }},
		{"macvlan from a user namespace", "", func() error {
			return inUserNamespace(unix.CLONE_NEWNET, "new-macvlan", fmt.Sprint(pid), fmt.Sprint(index))
		}},
		{"socket to the hypervisor", "", func() error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM) }},
		{"input for its terminal", "", typeAhead},
		{"network namespace of one's own", "EPERM", func() error { return onThread(func() error { return unix.Unshare(unix.CLONE_NEWNET) }) }},
		{"socket in one by a user namespace", "EPERM", func() error { return inUserNamespace(unix.CLONE_NEWNET, "new-socket") }},
		// What comes after it is not in the cgroup.
		{"another cgroup", "", func() error {
			return os.WriteFile("/sys/fs/cgroup/cgroup.procs", []byte("0"), 0)
		}},
		{"setns from there", "EACCES", func() error { return setns(proc + "/ns/net") }},
	} {
		fmt.Printf("%s: %s: %s\n", way.name, way.shut, errnoOf(way.try()))
	}
	return nil
}

func open(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func socket(family, kind int) error {
	fd, err := unix.Socket(family, kind, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// onThread runs f on a thread that ends with it.
func onThread(f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread()
		result <- f()
	}()
	return <-result
}

func setns(path string) error {
	return onThread(func() error {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Setns(fd, unix.CLONE_NEWNET)
	})
}

// nsid is a number that nothing else uses.
const nsid = 4711

// newNSID gives the network namespace of a process a number in this one
// (RTM_NEWNSID of rtnetlink(7)).
func newNSID(pid int) error {
	err := netlink.SetNetNsIdByPid(pid, nsid)
	if errors.Is(err, unix.EEXIST) {
		return nil // by an earlier try
	}
	return err
}

func macvlan(index int) error { return newLink("macvlan", index, nsid) }

// newLink makes a device of a kind, on the one with that index in the namespace
// of that number if there are any, and deletes it.
func newLink(kind string, index, number int) error {
	const name = "way-out"
	request := nl.NewNetlinkRequest(unix.RTM_NEWLINK, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
	if number >= 0 {
		request.AddData(nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(index))))
		request.AddData(nl.NewRtAttr(unix.IFLA_LINK_NETNSID, nl.Uint32Attr(uint32(number))))
	}
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated(kind))
	request.AddData(info)
	_, err := request.Execute(unix.NETLINK_ROUTE, 0)
	if err == nil {
		err = netlink.LinkDel(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: name}})
	}
	return err
}

func stealSocket(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(pidfd)
	fd, err := unix.PidfdGetfd(pidfd, 0, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// stealAsNobody takes it as user 65534, which root can become, from a process of
// that user, whose number the test wrote to a file.
func stealAsNobody() error {
	pid, err := numberIn("/run/process-of-nobody")
	if err != nil {
		return err
	}
	return onThread(func() error {
		if err := becomeNobody(); err != nil {
			return err
		}
		return stealSocket(int(pid))
	})
}

// becomeNobody does so by the kernel's own calls: the thread alone changes.
func becomeNobody() error {
	for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
		if _, _, errno := unix.RawSyscall(call, 65534, 65534, 65534); errno != 0 {
			return errno
		}
	}
	return nil
}

// openByHandle opens a file by its handle, past what hides its path
// (open_by_handle_at(2)).
func openByHandle() error {
	const file = "/run/way-out"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, file, 0)
	if err != nil {
		return err
	}
	dir, err := unix.Open("/run", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	fd, err := unix.OpenByHandleAt(dir, handle, unix.O_RDONLY)
	if err == nil {
		unix.Close(fd)
	}
	return err
}
