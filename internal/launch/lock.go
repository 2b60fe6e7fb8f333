package launch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// dropped are the capabilities that lead out of a network namespace through the
// kernel, by their names in capabilities(7) without CAP_. What each of them
// opens is in netns-exec(8), under Lock.
var dropped = [...]struct {
	name string
	bit  int
}{
	{"bpf", unix.CAP_BPF},
	{"checkpoint_restore", unix.CAP_CHECKPOINT_RESTORE},
	{"dac_read_search", unix.CAP_DAC_READ_SEARCH},
	{"mknod", unix.CAP_MKNOD},
	{"net_admin", unix.CAP_NET_ADMIN},
	{"perfmon", unix.CAP_PERFMON},
	{"sys_admin", unix.CAP_SYS_ADMIN},
	{"sys_boot", unix.CAP_SYS_BOOT},
	{"sys_module", unix.CAP_SYS_MODULE},
	{"sys_ptrace", unix.CAP_SYS_PTRACE},
	{"sys_rawio", unix.CAP_SYS_RAWIO},
}

// capabilities is a set of them, a bit for each.
type capabilities uint64

func (c capabilities) has(bit int) bool { return c>>bit&1 != 0 }

// CheckKeep finds out whether each of names, in either case, is a capability
// that Sockets.Lock takes away and Sockets.Keep can leave.
func CheckKeep(names []string) error {
	_, err := parseKeep(names)
	return err
}

func parseKeep(names []string) (keep capabilities, err error) {
	for _, name := range names {
		i := slices.IndexFunc(dropped[:], func(d struct {
			name string
			bit  int
		}) bool {
			return d.name == strings.ToLower(name)
		})
		if i < 0 {
			return 0, fmt.Errorf("%q is not a capability that a lock takes away: use %s", name, droppedNames())
		}
		keep |= 1 << dropped[i].bit
	}
	return keep, nil
}

func droppedNames() string {
	var names []string
	for _, d := range dropped {
		names = append(names, d.name)
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// lock takes the capabilities that lead out, but for those in keep, from the
// calling thread for good: out of every set, the bounding set included, so that
// no execve(2) brings one back. It needs CAP_SYS_ADMIN and CAP_SETPCAP.
func lock(keep capabilities) error {
	if !keep.has(unix.CAP_SYS_PTRACE) {
		if err := keepApart(); err != nil {
			return err
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	for _, d := range dropped {
		if keep.has(d.bit) {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(d.bit), 0, 0, 0); err != nil {
			return fmt.Errorf("drop CAP_%s from the bounding set: %w", strings.ToUpper(d.name), err)
		}
		// The ambient set follows these (capabilities(7)).
		set, bit := &data[d.bit/32], uint32(1)<<(d.bit%32)
		set.Effective &^= bit
		set.Permitted &^= bit
		set.Inheritable &^= bit
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	return nil
}

// keepApart puts the calling thread into a Landlock domain (landlock(7)) for
// what every domain brings: processes outside cannot be traced, which would
// give access to their sockets, their memory and, by /proc/PID/root, their
// mounts. The kernel lets a process trace others of its own user, and root can
// become any user. A domain has to restrict something else as well, and
// abstract sockets cost least: they belong to the network namespace. It does
// nothing on a kernel without such domains: before Linux 6.12, or without
// Landlock.
func keepApart() error {
	const (
		versionFlag  = 1 << 0 // LANDLOCK_CREATE_RULESET_VERSION of linux/landlock.h
		scopes       = 6      // the version that has them
		abstractUnix = 1 << 0 // LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET
	)
	version, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, versionFlag)
	switch {
	case errors.Is(errno, unix.ENOSYS), errors.Is(errno, unix.EOPNOTSUPP):
		return nil
	case errno != 0:
		return fmt.Errorf("keep apart from the processes outside: landlock: %w", errno)
	case version < scopes:
		return nil
	}
	attr := struct{ fs, net, scoped uint64 }{scoped: abstractUnix}
	ruleset, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno != 0 {
		return fmt.Errorf("keep apart from the processes outside: landlock: %w", errno)
	}
	defer unix.Close(int(ruleset))
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, ruleset, 0, 0); errno != 0 {
		return fmt.Errorf("keep apart from the processes outside: landlock: %w", errno)
	}
	return nil
}
