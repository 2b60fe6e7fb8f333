package machine

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// shareCoverage has the programs in the machine find the folder of
// tests/coverage, if they are built for that, where the host has it. The
// working directory is the machine's root.
func shareCoverage(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll("."+dir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(dir, "."+dir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", dir, err)
	}
	return nil
}
