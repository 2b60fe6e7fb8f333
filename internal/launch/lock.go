package launch

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// dropSysAdmin takes CAP_SYS_ADMIN out of every capability set of the calling
// thread, the bounding set included, so that no execve(2) brings it back.
// Without it setns(2) leads nowhere. It needs CAP_SETPCAP.
func dropSysAdmin() error {
	if err := unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_ADMIN, 0, 0, 0); err != nil {
		return fmt.Errorf("drop CAP_SYS_ADMIN from the bounding set: %w", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	// The ambient set follows the other two (capabilities(7)).
	const bit = 1 << unix.CAP_SYS_ADMIN
	data[0].Effective &^= bit
	data[0].Permitted &^= bit
	data[0].Inheritable &^= bit
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop CAP_SYS_ADMIN: %w", err)
	}
	return nil
}
