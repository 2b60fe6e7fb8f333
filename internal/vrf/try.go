package vrf

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Try finds out whether the kernel has what Apply needs: cgroup v2, and BPF
// programs on cgroups of which it takes ours. It changes nothing.
func (c Confinement) Try() error {
	h, err := openHierarchy()
	if err != nil {
		return err
	}
	defer h.close()
	current, err := Current()
	if err != nil {
		return err
	}
	cgroup, err := h.open(current)
	if err != nil {
		return fmt.Errorf("open cgroup %q: %w", current, err)
	}
	defer unix.Close(cgroup)
	there, err := attached(cgroup)
	if err != nil {
		return err
	}
	there.close()
	fd, err := c.load()
	if err != nil {
		return err
	}
	return unix.Close(fd)
}
