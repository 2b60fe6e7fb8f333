package vm

import (
	"fmt"
	"os"
	"syscall"
)

// covered is the file of tests/coverage in which the programs note what they
// execute, a byte for each statement.
const covered = "/programs"

// makeCoverage makes an empty one in the guest, for every user.
func makeCoverage(dir string) error {
	if dir == "" {
		return nil
	}
	return shell("umask 022; mkdir -p " + dir + "; : >" + dir + covered + "; chmod 666 " + dir + covered)
}

// collectCoverage adds what the guest has noted so far to the host's file. The
// rest is lost when the guest ends.
func (v *VM) collectCoverage() {
	if v.cover == "" {
		return
	}
	if err := v.addCoverage(); err != nil {
		fmt.Fprintf(v.console.log, "vm: coverage: %v\n", err)
	}
}

func (v *VM) addCoverage() error {
	noted, err := v.ReadFile(v.cover + covered)
	if err != nil || noted == "" {
		return err
	}
	file, err := os.OpenFile(v.cover+covered, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	// Others write to it too.
	shared, err := syscall.Mmap(int(file.Fd()), 0, len(noted), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	for n := range shared {
		if noted[n] != 0 {
			shared[n] = 1
		}
	}
	return syscall.Munmap(shared)
}
