// Package privilege checks what a program may do before it begins: no less than
// it needs, and no more than its caller may.
package privilege

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// CheckSysAdmin says so in plain words if the calling thread lacks
// CAP_SYS_ADMIN, without which it may not change its namespaces; the kernel
// checks again.
func CheckSysAdmin() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("read capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_SYS_ADMIN) == 0 {
		return errors.New("entering a network namespace needs CAP_SYS_ADMIN: run this as root")
	}
	return nil
}

// CheckSecure refuses to run with rights that the caller does not have: a
// setuid or setgid bit, file capabilities. AT_SECURE (getauxval(3)) tells of
// them where they had an effect; root sees them in the file's mode alone.
func CheckSecure() error {
	const atSecure = 23 // AT_SECURE of linux/auxvec.h
	refuse := errors.New("refusing to run with a setuid or setgid bit or file capabilities: remove them from the binary")
	auxv, err := unix.Auxv()
	if err != nil {
		return fmt.Errorf("read the auxiliary vector: %w", err)
	}
	for _, entry := range auxv {
		if entry[0] == atSecure && entry[1] != 0 {
			return refuse
		}
	}
	info, err := os.Stat("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("read this binary's mode (is the /proc of this PID namespace mounted?): %w", err)
	}
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return refuse
	}
	return nil
}
