package launch

import (
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
)

// Spec is what is wanted.
type Spec struct {
	Place   Place
	View    *View // nil leaves the command the mounts of its place
	Sockets Sockets
	Command Command
	// Warn is told, in one line, what is wrong and was tolerated; never nil.
	Warn func(string)
}

// Place is where the command is to run: in a network namespace, with the mounts
// of its caller or of the host.
type Place struct {
	// Netns is the network namespace: a name or an absolute path. One that
	// leads to the host's own is refused, unless it is namespace.Host: a
	// service would run outside. Empty means the caller's, if the sockets are
	// confined.
	Netns string
	// AllowHost admits the host's own namespace by any name.
	AllowHost bool
	// Namespace, where it is set, is entered in place of the one that Netns
	// names.
	Namespace *namespace.Namespace
	// HostMounts are those of process 1. In a chroot, where that has another
	// root directory, the caller's stay.
	HostMounts bool
}

// View is what the command sees of /sys, of /etc and of the host's resolvers,
// where that is not what its place shows.
type View struct {
	// Etc is the directory in /etc/netns whose entries are bound over those of
	// /etc; empty for none.
	Etc string
	// Hide are absolute paths to hide besides the resolvers' sockets.
	Hide []string
	// BestEffort turns faults of Etc, Hide and Running into warnings: a broken
	// /etc/netns must not keep a service from being stopped.
	BestEffort bool
	// Running, where it is set, is the mount namespace of a service that runs:
	// it has the view of its start, and is entered in place of a new one.
	Running *mounts.Namespace
}

// Sockets says what becomes of the command's IP sockets.
type Sockets struct {
	// VRF is a VRF device of the namespace to bind every one to.
	VRF string
	// Lock keeps the command in the namespace: no IP sockets in any other, and
	// no way out through the kernel.
	Lock bool
	// Keep are the capabilities that Lock is to leave; see CheckKeep.
	Keep []string
	// Service is the OpenRC service that the command is: it has a cgroup of its
	// own, and does not stay in the one that its caller is confined in. Empty
	// for a command by hand.
	Service string
	// Cgroup is the one to confine the command in, for VRF and Lock, as in
	// /proc/PID/cgroup; empty leaves the choice to the plan.
	Cgroup string
	// Join, where it is set, is the cgroup that the service's start was
	// confined in, and stands in for VRF and Lock. A fault is a warning.
	Join string
}

// Command is what to become.
type Command struct {
	// Argv is the command; empty means the user's shell.
	Argv []string
	// Env is the environment, as in inherited.Environ: with duplicates, of
	// which the first counts, as for getenv(3), and with what is no assignment.
	Env []string
	// User is USER or USER:GROUP to become; empty means no change.
	User string
}
