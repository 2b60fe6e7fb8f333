package vrf

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

func TestCgroupLayout(t *testing.T) {
	plain := Confinement{Cookie: 17, Device: Device{"mgmt", 5}}
	for _, test := range []struct {
		name             string
		confinement      Confinement
		group            Cgroup
		current          string
		program, process string
	}{
		{"by hand", plain, Cgroup{Netns: "vpn"}, "/", "/netns-exec.17.5", "/netns-exec.17.5/vpn-ns/vrf/mgmt"},
		{"by hand, in the host's namespace", plain, Cgroup{}, "/user/1", "/user/1/netns-exec.17.5", "/user/1/netns-exec.17.5/vrf/mgmt"},
		{"nested", plain, Cgroup{Netns: "vpn"}, "/user/netns-exec.3.4/b-ns/vrf/blue", "/user/netns-exec.17.5", "/user/netns-exec.17.5/vpn-ns/vrf/mgmt"},
		{"inside ip vrf exec", plain, Cgroup{}, "/user/vrf/blue", "/user/netns-exec.17.5", "/user/netns-exec.17.5/vrf/mgmt"},
		{"inside ip vrf exec in a namespace", plain, Cgroup{}, "/b-ns/vrf/blue", "/netns-exec.17.5", "/netns-exec.17.5/vrf/mgmt"},
		{"locked", Confinement{17, Device{"mgmt", 5}, true}, Cgroup{}, "/", "/netns-exec.17.5.lock", "/netns-exec.17.5.lock/vrf/mgmt"},
		{"locked without a VRF", Confinement{Cookie: 17, Lock: true}, Cgroup{Netns: "vpn"}, "/", "/netns-exec.17.0.lock", "/netns-exec.17.0.lock"},
		{"a service in OpenRC's cgroup", plain, Cgroup{Service: "sshd"}, "/openrc.sshd", "/openrc.sshd", "/openrc.sshd"},
		{"a service in OpenRC 0.45's cgroup", plain, Cgroup{Service: "sshd"}, "/sshd", "/sshd", "/sshd"},
		{"a service without one", plain, Cgroup{Service: "sshd"}, "/user", "/user/openrc-netns.sshd", "/user/openrc-netns.sshd"},
		{"a service started by another", plain, Cgroup{Service: "web"}, "/user/openrc-netns.sshd", "/user/openrc-netns.web", "/user/openrc-netns.web"},
		{"a given one", plain, Cgroup{Netns: "vpn", Path: "/openrc.sshd"}, "/openrc.s6-svscan", "/openrc.sshd", "/openrc.sshd"},
	} {
		t.Run(test.name, func(t *testing.T) {
			program, process := test.group.paths(test.confinement, test.current)
			if program != test.program || process != test.process {
				t.Errorf("got %s and %s, want %s and %s", program, process, test.program, test.process)
			}
		})
	}
}

// TestProgram puts the program on a cgroup of its own, and looks at sockets
// made in it: with the loopback device in place of a VRF, which this kernel
// may not have.
func TestProgram(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	if os.Getenv("VRF_TEST_CHILD") == "" {
		// Cgroups and namespaces are changed in a process of its own.
		cmd := exec.Command("/proc/self/exe", "-test.run=^TestProgram$", "-test.v")
		cmd.Env = append(os.Environ(), "VRF_TEST_CHILD=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("%s", out)
		return
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	before, err := cgroup.Current()
	if err != nil {
		t.Skip(err)
	}
	const lo = 1
	bound := func(family, kind int) int {
		t.Helper()
		fd, err := unix.Socket(family, kind, 0)
		if kind == unix.SOCK_RAW {
			fd, err = unix.Socket(family, kind, unix.IPPROTO_UDP)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		index, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := unix.GetsockoptUint64(socket, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		t.Fatal(err)
	}
	confinement := Confinement{Cookie: cookie, Device: Device{"lo", lo}}
	group := Cgroup{Service: "vrf_test"}
	confined, _, err := confinement.Apply(group)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("in %s, was in %s", confined, before)
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW} {
			if got := bound(family, kind); got != lo {
				t.Errorf("socket of family %d and type %d is bound to %d, want %d", family, kind, got, lo)
			}
		}
	}
	root, err := cgroup.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	dir, err := root.Open(confined)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	programs := func() int {
		there, err := attached(dir)
		if err != nil {
			t.Fatal(err)
		}
		there.close()
		return len(there.ours)
	}
	read := func(want Confinement) {
		t.Helper()
		got, err := Inspect(confined)
		want.Device.Name = ""
		if err != nil || *got != want {
			t.Errorf("the kernel has %+v (%v), want %+v", got, err, want)
		}
	}
	read(confinement)
	// A second start replaces the program.
	for range 3 {
		if _, _, err := confinement.Apply(group); err != nil {
			t.Fatal(err)
		}
	}
	if n := programs(); n != 1 {
		t.Errorf("%d programs, want 1", n)
	}
	// Somebody else's namespace: not bound to what has the same number there.
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if got := bound(unix.AF_INET, unix.SOCK_DGRAM); got != 0 {
		t.Errorf("in another namespace a socket is bound to %d", got)
	}
	// A program that does not bind is found out.
	if _, _, err := confinement.Apply(group); err == nil {
		t.Error("a socket that is not bound went unnoticed")
	}
	confinement.Lock = true
	if _, _, err := confinement.Apply(group); err == nil {
		t.Error("a refused socket went unnoticed")
	}
	if fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != unix.EPERM {
		t.Errorf("a locked process has an IP socket in another namespace: %d, %v", fd, err)
	}
	read(confinement)
	if err := cgroup.LeaveService("vrf_test", 0); err != nil {
		t.Error(err)
	}
	if after, err := cgroup.Current(); err != nil || after != before {
		t.Errorf("left for %s (%v), want %s", after, err, before)
	}
	if err := root.Remove(confined); err == nil {
		t.Error("the cgroup was still there")
	}
	if got, err := Inspect(confined); got != nil || err != nil {
		t.Errorf("without the cgroup: %+v, %v", got, err)
	}
}

// TestUndoTakesTheProgramOff fails a launch on a cgroup that was there: what
// joins it later is not to be confined for somebody who never ran.
func TestUndoTakesTheProgramOff(t *testing.T) {
	if inChild(t, "TestUndoTakesTheProgramOff") {
		return
	}
	cookie, _ := elsewhere(t)
	before, err := cgroup.Current()
	if err != nil {
		t.Skip(err)
	}
	root, err := cgroup.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	path := fmt.Sprintf("/vrf_test.undo.%d", os.Getpid())
	if _, err := root.Make(path); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := root.Remove(path); err != nil {
			t.Error(err)
		}
	}()
	dir, err := root.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	programs := func() int {
		t.Helper()
		ids, err := query(dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(ids)
	}
	_, undo, err := Confinement{Cookie: cookie, Lock: true}.Apply(Cgroup{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if programs() != 1 {
		t.Errorf("%d programs", programs())
	}
	undo()
	if programs() != 0 {
		t.Errorf("%d programs are left", programs())
	}
	for i := range 2 {
		missing, err := Confinement{Cookie: cookie, Lock: true}.PutBack(path)
		if missing != (i == 0) || programs() != 1 || err != nil {
			t.Errorf("put back: %t, %d programs, %v", missing, programs(), err)
		}
	}
	if current, err := cgroup.Current(); err != nil || current != before {
		t.Errorf("in %s, %v, want %s", current, err, before)
	}
}
