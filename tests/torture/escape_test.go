package torture

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/vrf"
)

// Ways out of a lock and of a VRF. This binary, launched under another name in
// the place of the command, tries one of them; it is out if it gets hold of
// something of the host's network, or of something that leads there. Nothing is
// done with what it gets.

// way is a way out.
type way struct {
	name     string
	try      func(v victim) error // nil is out
	admitted string               // where the manual says that it is one
}

// victim is what there is to get hold of on the host: a process and a device.
type victim struct {
	pid    int
	device int
}

// What an escape exits with.
const (
	exitOut     = 10
	exitRefused = 11
	exitNotHere = 12
)

// errNotKnown says that this kernel has no such thing.
var errNotKnown = errors.New("this kernel has no such thing")

// A way of a locked process.
func lockWays() []way {
	hostNet := func(v victim) string { return fmt.Sprintf("/proc/%d/ns/net", v.pid) }
	setns := func(v victim) error {
		fd, err := unix.Open(hostNet(v), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		return unix.Setns(fd, unix.CLONE_NEWNET)
	}
	open := func(path string) func(victim) error {
		return func(victim) error {
			fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}
	}
	return []way{
		{name: "setns", try: setns},
		{name: "setns-pidfd", try: func(v victim) error {
			fd, err := unix.PidfdOpen(v.pid, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNET)
		}},
		{name: "setns-mounts", try: func(v victim) error {
			fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/mnt", v.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return unix.Setns(fd, unix.CLONE_NEWNS)
		}},
		{name: "new-namespace", try: func(victim) error { return unix.Unshare(unix.CLONE_NEWNET) }},
		{name: "user-and-network-namespace", try: func(victim) error {
			child := exec.Command("/run/escape", "socket", "0", "0", "")
			child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNET}
			return isOut(child)
		}},
		{name: "setns-from-user-namespace", try: func(v victim) error {
			child := exec.Command("/run/escape", "setns", strconv.Itoa(v.pid), "0")
			child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return isOut(child)
		}},
		{name: "leave-cgroup", try: func(v victim) error {
			// Out of the cgroup its sockets are not refused any more; the
			// namespace that it can make leads nowhere.
			if err := os.WriteFile(cgroupRoot+"/cgroup.procs", []byte("0"), 0); err != nil {
				return err
			}
			return setns(v)
		}},
		{name: "second-cgroup", try: func(v victim) error {
			dir := cgroupRoot + "/second-" + strconv.Itoa(os.Getpid())
			if err := os.Mkdir(dir, 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(dir+"/cgroup.procs", []byte("0"), 0); err != nil {
				return err
			}
			return setns(v)
		}},
		{name: "fork-into-cgroup", try: func(v victim) error {
			fd, err := unix.Open(cgroupRoot, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			child := exec.Command("/run/escape", "setns", strconv.Itoa(v.pid), "0")
			child.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: fd}
			return isOut(child)
		}},
		{name: "launcher", try: func(v victim) error {
			out, err := exec.Command(filepath.Join(os.Getenv("TORTURE_BIN"), "netns-exec"), hostNet(v), "--", "/bin/true").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		}},
		{name: "macvlan-on-the-host", try: func(v victim) error {
			// A macvlan on a device of the host, which a namespace that has a
			// number for the host's may make.
			return inHost(v, func(ns int) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name, attrs.ParentIndex = "way-out", v.device
				attrs.Namespace = netlink.NsFd(ns)
				return netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs, Mode: netlink.MACVLAN_MODE_BRIDGE}) // goes with the machine
			})
		}},
		{name: "veth-to-the-host", try: func(v victim) error {
			return inHost(v, func(ns int) error {
				attrs := netlink.NewLinkAttrs()
				attrs.Name = "way-out"
				err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "way-in", PeerNamespace: netlink.NsFd(ns)})
				if link, found := netlink.LinkByName("way-out"); found == nil {
					_ = netlink.LinkDel(link)
				}
				return err
			})
		}},
		{name: "number-for-the-host", try: func(v victim) error {
			err := netlink.SetNetNsIdByPid(v.pid, 77)
			if errors.Is(err, unix.EEXIST) {
				return nil // it has one by now
			}
			return err
		}},
		{name: "pidfd-getfd", try: func(v victim) error {
			fd, err := unix.PidfdOpen(v.pid, 0)
			if err != nil {
				return err
			}
			_, err = unix.PidfdGetfd(fd, 0, 0)
			return err
		}},
		{name: "ptrace", try: func(v victim) error {
			err := unix.PtraceSeize(v.pid)
			if err == nil {
				_ = unix.PtraceDetach(v.pid)
			}
			return err
		}},
		{name: "memory", try: func(v victim) error { return open(fmt.Sprintf("/proc/%d/mem", v.pid))(v) }},
		{name: "core-pattern", try: open("/proc/sys/kernel/core_pattern")},
		{name: "modprobe", try: open("/proc/sys/kernel/modprobe")},
		{name: "sysrq", try: open("/proc/sysrq-trigger")},
		{name: "uevent-helper", try: open("/sys/kernel/uevent_helper")},
		{name: "new-proc", try: func(victim) error { return unix.Mount("proc", "/mnt", "proc", 0, "") }},
		{name: "mount", try: func(victim) error { return unix.Mount("none", "/mnt", "tmpfs", 0, "") }},
		{name: "disk", try: func(victim) error {
			const disk = "/run/way-out"
			defer os.Remove(disk)
			return unix.Mknod(disk, unix.S_IFBLK|0o600, int(unix.Mkdev(240, 0)))
		}},
		{name: "take-the-program-off", try: func(victim) error {
			cgroup, err := cgroupOf("self")
			if err != nil {
				return err
			}
			fd, err := unix.Open(cgroupRoot+cgroup, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return detach(fd)
		}},
		{name: "module", try: func(victim) error { return unix.InitModule([]byte{0}, "") }},
		{name: "ports", try: open("/dev/port")},
		{name: "file-by-handle", try: func(victim) error {
			handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/", 0)
			if err != nil {
				return err
			}
			root, err := unix.Open("/", unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			_, err = unix.OpenByHandleAt(root, handle, unix.O_RDONLY)
			return err
		}},
	}
}

// inHost calls f with a descriptor of the host's namespace.
func inHost(v victim, f func(ns int) error) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", v.pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return f(fd)
}

// isOut runs an escape that goes on in a child.
func isOut(child *exec.Cmd) error {
	out, err := child.CombinedOutput()
	switch {
	case child.ProcessState == nil:
		return err
	case child.ProcessState.ExitCode() == exitOut:
		return nil
	}
	return errors.New(strings.TrimSpace(string(out)))
}

func detach(cgroup int) error {
	var ids [64]uint32
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&ids)
	query := struct {
		target, attachType, queryFlags, attachFlags uint32
		ids                                         uint64
		count                                       uint32
	}{target: uint32(cgroup), attachType: unix.BPF_CGROUP_INET_SOCK_CREATE, ids: uint64(uintptr(unsafe.Pointer(&ids))), count: 64}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
	if errno != 0 {
		return errno
	}
	if query.count == 0 {
		return errors.New("no program is on the cgroup")
	}
	get := struct{ id, next, flags uint32 }{id: ids[0]}
	fd, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_GET_FD_BY_ID, uintptr(unsafe.Pointer(&get)), unsafe.Sizeof(get))
	if errno != 0 {
		return errno
	}
	attr := struct{ target, program, attachType, flags uint32 }{uint32(cgroup), uint32(fd), unix.BPF_CGROUP_INET_SOCK_CREATE, 0}
	_, _, errno = unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_DETACH, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if errno != 0 {
		return errno
	}
	return nil
}

// socketKind is a kind of socket that a process of a VRF may make.
type socketKind struct {
	name                   string
	family, kind, protocol int
	admitted               string // the manual says that it is not bound
}

const (
	ipprotoSMC     = 256
	ipprotoMPTCP   = 262
	ipprotoUDPLite = 136
)

var socketKinds = []socketKind{
	{"tcp", unix.AF_INET, unix.SOCK_STREAM, 0, ""},
	{"udp", unix.AF_INET, unix.SOCK_DGRAM, 0, ""},
	{"raw", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, ""},
	{"tcp6", unix.AF_INET6, unix.SOCK_STREAM, 0, ""},
	{"udp6", unix.AF_INET6, unix.SOCK_DGRAM, 0, ""},
	{"mptcp", unix.AF_INET, unix.SOCK_STREAM, ipprotoMPTCP, ""},
	{"mptcp6", unix.AF_INET6, unix.SOCK_STREAM, ipprotoMPTCP, ""},
	{"udplite", unix.AF_INET, unix.SOCK_DGRAM, ipprotoUDPLite, ""},
	{"sctp", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_SCTP, ""},
	{"dccp", unix.AF_INET, unix.SOCK_DCCP, unix.IPPROTO_DCCP, ""},
	{"l2tp", unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_L2TP, ""},
	{"smc-of-ip", unix.AF_INET, unix.SOCK_STREAM, ipprotoSMC, ""},
	{"smc", unix.AF_SMC, unix.SOCK_STREAM, 0, "what the kernel makes for another address family is not confined"},
	{"rds", unix.AF_RDS, unix.SOCK_SEQPACKET, 0, "what the kernel makes for another address family is not confined"},
	{"rxrpc", unix.AF_RXRPC, unix.SOCK_DGRAM, unix.AF_INET, "what the kernel makes for another address family is not confined"},
	{"tipc", unix.AF_TIPC, unix.SOCK_STREAM, 0, "TIPC sockets are not confined"},
	{"packet", unix.AF_PACKET, unix.SOCK_RAW, 0, "packet sockets are not confined"},
	{"xdp", unix.AF_XDP, unix.SOCK_RAW, 0, "packet sockets are not confined"},
}

// try makes such a socket, and is nil if it is neither refused nor bound.
func (s socketKind) try() error {
	fd, err := unix.Socket(s.family, s.kind|unix.SOCK_CLOEXEC, s.protocol)
	switch err {
	case unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.ESOCKTNOSUPPORT:
		return errNotKnown
	case nil:
	default:
		return err
	}
	defer unix.Close(fd)
	if s.protocol != ipprotoMPTCP {
		if bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX); err == nil && bound != 0 {
			return fmt.Errorf("bound to interface %d", bound)
		}
		return nil
	}
	// What such a socket says of itself is not true of what the kernel makes
	// for it: can it be reached by lo?
	var at unix.Sockaddr = &unix.SockaddrInet4{Port: 7262}
	if s.family == unix.AF_INET6 {
		at = &unix.SockaddrInet6{Port: 7262}
	}
	if err := unix.Bind(fd, at); err != nil {
		return err
	}
	if err := unix.Listen(fd, 1); err != nil {
		return err
	}
	// A socket of the host's cgroup would ask; an MPTCP one is as little bound.
	client, err := unix.Socket(s.family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, ipprotoMPTCP)
	if err != nil {
		return err
	}
	defer unix.Close(client)
	to := net.IPv4(127, 0, 0, 1)
	var peer unix.Sockaddr = &unix.SockaddrInet4{Port: 7262, Addr: [4]byte(to.To4())}
	if s.family == unix.AF_INET6 {
		peer = &unix.SockaddrInet6{Port: 7262, Addr: [16]byte(net.IPv6loopback)}
	}
	timeout := unix.Timeval{Sec: 1}
	_ = unix.SetsockoptTimeval(client, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &timeout)
	return unix.Connect(client, peer)
}

// escape tries the way that its arguments name, and does not return: WAY PID
// DEVICE, or vrf KIND DEVICE CGROUP.
func escape(args []string) {
	if len(args) < 3 {
		os.Exit(2)
	}
	err := errors.New("no such way")
	if args[0] == "vrf" && len(args) == 4 {
		err = escapeVRF(args[1], args[2], args[3])
	} else if args[0] == "socket" {
		_, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	} else {
		var v victim
		v.pid, _ = strconv.Atoi(args[1])
		v.device, _ = strconv.Atoi(args[2])
		for _, way := range lockWays() {
			if way.name == args[0] {
				err = way.try(v)
			}
		}
	}
	switch {
	case err == nil:
		os.Exit(exitOut)
	case errors.Is(err, errNotKnown), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		fmt.Println(err)
		os.Exit(exitNotHere)
	}
	fmt.Println(err)
	os.Exit(exitRefused)
}

// escapeVRF confines this process as --vrf does, to a device that stands in for
// a VRF, which most kernels of test machines have not; then it makes a socket.
func escapeVRF(kind, device, cgroup string) error {
	index, err := strconv.Atoi(device)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return err
	}
	c := vrf.Confinement{Cookie: cookie, Device: vrf.Device{Name: "peer", Index: uint32(index)}}
	if _, _, err := c.Apply(vrf.Cgroup{Path: cgroup}); err != nil {
		fmt.Println("confine:", err)
		os.Exit(2)
	}
	for _, s := range socketKinds {
		if s.name == kind {
			return s.try()
		}
	}
	return errors.New("no such kind")
}

// attackEscapes tries each way out once, as root and as an ordinary user.
func attackEscapes(r *report, until time.Time) {
	failed := func(err error) { r.broken("escape", "the attack itself failed", err.Error()) }
	err := os.Symlink(filepath.Join(bin, escapeName), "/run/escape")
	if err == nil {
		err = bindName("escape", pool[1].path())
	}
	if err != nil {
		failed(err)
		return
	}
	defer os.Remove("/run/netns/escape")
	defer unix.Unmount("/run/netns/escape", unix.MNT_DETACH)
	// Somebody on the host.
	host := exec.Command("/bin/sleep", "3600")
	if err := host.Start(); err != nil {
		failed(err)
		return
	}
	defer func() {
		_ = host.Process.Kill()
		_ = host.Wait()
	}()
	device, err := net.InterfaceByName("in-host")
	if err != nil {
		failed(err)
		return
	}
	for _, user := range []string{"root", "nobody"} {
		for _, w := range lockWays() {
			argv := []string{bin + "/netns-exec", "--lock"}
			if user != "root" {
				argv = append(argv, "-u", user)
			}
			argv = append(argv, "escape", "--", "/run/escape", w.name, strconv.Itoa(host.Process.Pid), strconv.Itoa(device.Index))
			judgeEscape(r, "escape/lock/"+user+"/"+w.name, argv, w.admitted)
		}
	}
	for _, s := range socketKinds {
		cgroup := "/vrf-" + s.name
		argv := []string{bin + "/netns-exec", "escape", "--", "/run/escape", "vrf", s.name, "2", cgroup}
		judgeEscape(r, "escape/vrf/"+s.name, argv, s.admitted)
		_ = unix.Rmdir(cgroupRoot + cgroup)
	}
}

func judgeEscape(r *report, id string, argv []string, admitted string) {
	if !wanted(id) && !wanted(filepath.Dir(id)) && !wanted("escape/"+strings.Split(id, "/")[1]) {
		return
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(environment, "TORTURE_BIN="+bin)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		r.broken(id, "the attack itself failed", err.Error())
		return
	}
	switch code := cmd.ProcessState.ExitCode(); {
	case code == exitRefused:
		r.count(id, "refused")
	case code == exitNotHere:
		r.count(id, "not in this kernel")
	case code == exitOut && admitted != "":
		r.count(id, "out, which is admitted: "+admitted)
	case code == exitOut:
		r.broken(id, "a way out", id)
	default:
		r.broken(id, "the attack itself failed", fmt.Sprintf("%s: %v: %s", id, err, out))
	}
}
