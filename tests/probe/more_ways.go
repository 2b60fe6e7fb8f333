package main

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// errNotHere says that this kernel or machine has nothing to try a way on.
var errNotHere = errors.New("not here")

// openAny opens the first file that one of the patterns has and that can be
// written to, and writes nothing.
func openAny(patterns ...string) error {
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			return err
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Mode()&0o200 != 0 {
				return open(file, unix.O_WRONLY)
			}
		}
	}
	return errNotHere
}

// asNetAdmin runs f on a thread of user 65534 that has CAP_NET_ADMIN and no
// other capability.
func asNetAdmin(f func() error) error {
	return onThread(func() error {
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return err
		}
		if err := becomeNobody(); err != nil {
			return err
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var data [2]unix.CapUserData
		data[0].Permitted = 1 << unix.CAP_NET_ADMIN
		data[0].Effective = 1 << unix.CAP_NET_ADMIN
		if err := unix.Capset(&header, &data[0]); err != nil {
			return err
		}
		return f()
	})
}

// onDeviceOf gives the network namespace of a process a number, and makes a
// macvlan on a device there.
func onDeviceOf(pid, index int) error {
	if err := newNSID(pid); err != nil {
		return err
	}
	return macvlan(index)
}

func address() error {
	lo := &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: 1}}
	addr, err := netlink.ParseAddr("192.0.2.77/32")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, addr); err != nil {
		return err
	}
	return netlink.AddrDel(lo, addr)
}

func route() error {
	_, to, err := net.ParseCIDR("198.51.100.0/24")
	if err != nil {
		return err
	}
	nowhere := &netlink.Route{Dst: to, Type: unix.RTN_BLACKHOLE}
	if err := netlink.RouteAdd(nowhere); err != nil {
		return err
	}
	return netlink.RouteDel(nowhere)
}

// firewall gives iptables(8) an empty set of rules, which the kernel refuses
// after it has looked at the capability. Where there is no iptables it says
// ENOPROTOOPT.
func firewall() error {
	const replace = 64 // IPT_SO_SET_REPLACE of linux/netfilter_ipv4/ip_tables.h
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.SetsockoptString(fd, unix.SOL_IP, replace, "")
}

// ownCgroup opens the cgroup of this process.
func ownCgroup() (int, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return -1, err
	}
	for line := range strings.Lines(string(text)) {
		if path, v2 := strings.CutPrefix(strings.TrimSpace(line), "0::"); v2 {
			return unix.Open("/sys/fs/cgroup"+path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		}
	}
	return -1, errNotHere
}

// onOwnCgroup attaches a program to the cgroup of this process, as the only one
// that can be there, or takes it off.
func onOwnCgroup(command, program int) error {
	dir, err := ownCgroup()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	attr := struct{ target, program, kind, flags uint32 }{uint32(dir), uint32(program), unix.BPF_CGROUP_INET_SOCK_CREATE, 0}
	_, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	return failure(errno)
}

// detachOwn takes the program off the cgroup of this process, as somebody does
// who finds out which one it is, and puts it back.
func detachOwn() error {
	dir, err := ownCgroup()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	var pin runtime.Pinner
	defer pin.Unpin()
	var ids [8]uint32
	pin.Pin(&ids)
	query := struct {
		target, kind, flags, attached uint32
		ids                           uint64
		count                         uint32
	}{target: uint32(dir), kind: unix.BPF_CGROUP_INET_SOCK_CREATE, ids: uint64(uintptr(unsafe.Pointer(&ids))), count: uint32(len(ids))}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query)); errno != 0 {
		return errno
	}
	if query.count == 0 {
		return errNotHere
	}
	get := struct{ id, next, flags uint32 }{id: ids[0]}
	program, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_FD_BY_ID, uintptr(unsafe.Pointer(&get)), unsafe.Sizeof(get))
	if errno != 0 {
		return errno
	}
	defer unix.Close(int(program))
	if err := onOwnCgroup(unix.BPF_PROG_DETACH, int(program)); err != nil {
		return err
	}
	return onOwnCgroup(unix.BPF_PROG_ATTACH, int(program))
}

func perfEvent(attr unix.PerfEventAttr, pid, cpu int) error {
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// numberIn reads a number out of the first file that the pattern has.
func numberIn(pattern string) (uint64, error) {
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		return 0, errNotHere
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
}

// tracepoint counts, for this process alone.
func tracepoint() error {
	id, err := numberIn("/sys/kernel/tracing/events/*/*/id")
	if err != nil {
		return err
	}
	return perfEvent(unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: id}, 0, -1)
}

// kprobe asks for a probe on a function that the kernel does not have: that it
// finds none is what somebody learns who may ask.
func kprobe() error {
	kind, err := numberIn("/sys/bus/event_source/devices/kprobe/type")
	if err != nil {
		return err
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	name := []byte("no_such_function_way_out\x00")
	pin.Pin(&name[0])
	err = perfEvent(unix.PerfEventAttr{Type: uint32(kind), Ext1: uint64(uintptr(unsafe.Pointer(&name[0])))}, 0, -1)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// choosePID asks for a process with the PID of this one, which the kernel
// refuses after it has looked at the capability (set_tid of clone(2)).
func choosePID() error {
	var pin runtime.Pinner
	defer pin.Unpin()
	pid := int32(os.Getpid())
	pin.Pin(&pid)
	// struct clone_args of linux/sched.h.
	args := struct {
		flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
	}{exitSignal: uint64(unix.SIGCHLD), setTID: uint64(uintptr(unsafe.Pointer(&pid))), setTIDSize: 1}
	_, _, errno := unix.RawSyscall(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args), 0)
	return failure(errno)
}

// openMapped opens a file by where this process has it mapped, which takes a
// capability even so (map_files of proc(5)).
func openMapped() error {
	files, err := filepath.Glob("/proc/self/map_files/*")
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return errNotHere
	}
	return open(files[0], unix.O_RDONLY)
}

// callX86 makes a system call that only the processors of PCs have under that
// number, on the calling thread.
func callX86(number uintptr, args ...uintptr) error {
	if runtime.GOARCH != "amd64" {
		return errNotHere
	}
	args = append(args, make([]uintptr, 6)...)
	_, _, errno := unix.RawSyscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
	return failure(errno)
}

// Numbers of arch/x86/entry/syscalls/syscall_64.tbl, which package unix has not
// for each processor.
const (
	sysIopl          = 172
	sysIoperm        = 173
	sysKexecLoad     = 246
	sysKexecFileLoad = 320
)

// leftOpen is the descriptor of the socket that leaveOpen leaves.
const leftOpen = 9

func leaveOpen(command []string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Dup3(fd, leftOpen, 0); err != nil {
		return err
	}
	unix.Close(fd)
	path, err := exec.LookPath(command[0])
	if err != nil {
		return err
	}
	return unix.Exec(path, command, os.Environ())
}

// useSocket gives a socket a port, in the namespace where it was made.
func useSocket(fd int) error {
	return unix.Bind(fd, &unix.SockaddrInet4{})
}

const handed = "/run/way-out.socket"

// handOut is the process outside of takeSocket.
func handOut() error {
	if err := unix.Mkfifo("/run/way-out.fifo", 0o600); err != nil {
		return err
	}
	if _, err := os.OpenFile("/run/way-out.fifo", os.O_RDWR, 0); err != nil {
		return err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: handed})
	if err != nil {
		return err
	}
	for {
		client, err := listener.AcceptUnix()
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
		if err != nil {
			return err
		}
		if _, _, err := client.WriteMsgUnix(binary.NativeEndian.AppendUint64(nil, cookie), unix.UnixRights(fd), nil); err != nil {
			return err
		}
		unix.Close(fd)
		client.Close()
	}
}

// takeSocket has a socket of the host's handed in, by one in the file system,
// and uses it.
func takeSocket() error {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: handed})
	if err != nil {
		return err
	}
	defer conn.Close()
	var data [8]byte
	control := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := conn.ReadMsgUnix(data[:], control)
	if err != nil {
		return err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return err
	}
	if len(messages) != 1 {
		return errors.New("no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return err
	}
	defer unix.Close(fds[0])
	cookie, err := unix.GetsockoptUint64(fds[0], unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return err
	}
	if cookie != binary.NativeEndian.Uint64(data[:]) {
		return errors.New("a socket of another namespace came")
	}
	return useSocket(fds[0])
}
