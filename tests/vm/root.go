package vm

import (
	"io"

	"openrc-netns/tests/machine"
)

// Check tells why no virtual machine can be made here, as [machine.Check] does:
// [machine.ErrNotRoot], or a missing program and how to install it.
func Check() error { return machine.Check() }

// release is the Debian release of the root. Older ones have kernels for
// User-Mode Linux that do not run on processors with AMX: their floating-point
// state is larger than Linux before 6.13 allows for.
const release = "sid"

// recipe is how mmdebstrap makes the root, from the mirror that it picks by
// itself. A change here makes a new root.
var recipe = []string{
	"--variant=essential",
	"--include=openrc,bash,bsdutils,busybox,hyperfine,iproute2,kmod,mount,netcat-openbsd,nftables,openssh-client," +
		"openssh-server,procps,strace,user-mode-linux,util-linux," +
		"execline,s6," + // the other supervisor
		"python3-pyroute2,wireguard-go,wireguard-tools", // what ifstate makes namespaces and tunnels with; the kernel has no WireGuard
	// A mirror's sid may be older than its Release file says it is good for.
	`--aptopt=Acquire::Check-Valid-Until "false"`,
	// The kernel's modules are where modprobe looks.
	`--customize-hook=ln -s uml/modules "$1/usr/lib/modules"`,
	// No two machines share a host key. And a script goes that depends on
	// services which sysvinit's packages would bring: OpenRC complains of it
	// whenever it reads the dependencies.
	`--customize-hook=cd "$1/etc" && rm -f runlevels/*/* ssh/ssh_host_* init.d/hwclock.sh init.d/procps`,
}

// Root returns the folder of the root file system, which it builds with
// mmdebstrap where the cache does not have it. It has to be treated as
// read-only: running virtual machines read it.
//
// The cache is that of package machine. To get newer packages, remove it while
// no virtual machine runs.
func Root() (dir string, err error) {
	return cachedRoot(io.Discard)
}

func cachedRoot(log io.Writer) (string, error) {
	return machine.CachedRoot("vm-"+release, release, recipe, log)
}
