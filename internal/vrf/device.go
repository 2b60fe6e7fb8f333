package vrf

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// Device is a VRF device of the network namespace that it was found in.
type Device struct {
	Name  string
	Index uint32 // interface index; another device's in every other namespace
}

// NotExistError says that the network namespace has no device of that name.
type NotExistError struct{ Name string }

func (e *NotExistError) Error() string {
	return fmt.Sprintf("VRF %q: no such device in this network namespace", e.Name)
}

// OtherDeviceError says that the device of that name is not a VRF.
type OtherDeviceError struct{ Name string }

func (e *OtherDeviceError) Error() string { return fmt.Sprintf("device %q is not a VRF", e.Name) }

// Find looks up the VRF device called name in the calling thread's network
// namespace. The error is a *NotExistError if there is no such device, and an
// *OtherDeviceError if it is not a VRF (ETHTOOL_GDRVINFO of linux/ethtool.h).
func Find(name string) (Device, error) {
	switch {
	case name == "", name == ".", name == "..", strings.ContainsAny(name, "/:"),
		strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return Device{}, fmt.Errorf("bad VRF name %q: it cannot be the name of a device", name)
	case len(name) >= unix.IFNAMSIZ:
		return Device{}, fmt.Errorf("bad VRF name %q: it has %d bytes, the limit is %d", name, len(name), unix.IFNAMSIZ-1)
	}
	// Not AF_INET: a kernel without that would have no VRF either, but a
	// socket of another family is certain not to be one that we bind.
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Device{}, fmt.Errorf("look up VRF %q: %w", name, err)
	}
	defer unix.Close(fd)

	request, err := unix.NewIfreq(name)
	if err != nil {
		return Device{}, fmt.Errorf("look up VRF %q: %w", name, err)
	}
	err = unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request)
	if errors.Is(err, unix.ENODEV) {
		return Device{}, &NotExistError{name}
	}
	if err != nil {
		return Device{}, fmt.Errorf("look up VRF %q: %w", name, err)
	}
	device := Device{name, request.Uint32()}
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return Device{}, fmt.Errorf("look up VRF %q: %w", name, err)
	}
	if err != nil || unix.ByteSliceToString(info.Driver[:]) != "vrf" {
		return Device{}, &OtherDeviceError{name}
	}
	return device, nil
}

// checkBound opens an IPv4 or, on a kernel without that, an IPv6 socket and
// makes sure that it is bound to the device from the start, and that no MPTCP
// socket can be opened, which would say that it is bound and would not be. It
// is the proof, from inside the cgroup, that the program does its job.
func (d Device) checkBound() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	}
	if err != nil {
		return fmt.Errorf("open a socket in VRF %q: %w", d.Name, err)
	}
	defer unix.Close(fd)
	bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
	if err != nil {
		return fmt.Errorf("read what a socket is bound to: %w", err)
	}
	if uint32(bound) != d.Index {
		return fmt.Errorf("a new socket is bound to interface %d and not to VRF %q, which is interface %d", bound, d.Name, d.Index)
	}
	if !hasMPTCP() {
		return nil // to ask for a socket would have the kernel look for a module
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		if fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_MPTCP); err == nil {
			unix.Close(fd)
			return fmt.Errorf("MPTCP is not refused, and would not be bound to VRF %q: is the program on the cgroup from an older version?", d.Name)
		}
	}
	return nil
}

// hasMPTCP reports whether this kernel has MPTCP, and asks for no module.
func hasMPTCP() bool {
	return unix.Access("/proc/sys/net/mptcp", unix.F_OK) == nil
}
