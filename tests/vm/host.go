package vm

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/root"
)

// unplugged is the exit status of vm-host when the program has closed the
// virtual machine.
const unplugged = 80

// Where things are in the file system that the kernel sees. All below own is a
// tmpfs of vm-host.
const (
	own      = "/mnt"
	view     = own + "/view"     // what the guest sees: the root, and in its /mnt the folder guest
	guest    = own + "/guest"    // see below
	exchange = own + "/exchange" // what program and agent write to each other
	scratch  = own + "/scratch"  // the guest's memory and the kernel's sockets
)

// What is in the folder guest, as the guest sees it until vm-init has hidden
// it.
const (
	initExe = "/mnt/" + initName
	orders  = "/mnt/spec.json"
	install = "/mnt/install"
)

// memory is what the guest has. It is taken from the host only as it is used.
const memory = "512M"

// runHost is PID 1 of the namespaces that [VM.start] made: all that runs in
// them ends with it. It makes the root the file system of the kernel, and runs
// that until standard input ends.
func runHost(s spec) error {
	line := os.NewFile(3, "serial line")
	if err := isolate(s); err != nil {
		return err
	}
	kernel := exec.Command("/usr/bin/linux.uml",
		"mem="+memory, "uml_dir="+scratch, "root=none", "rootfstype=hostfs", "rootflags="+view, "ro", "init="+initExe,
		"con=null", "con0=null,fd:1", "ssl0=fd:3", "quiet", "seccomp=auto",
		"lsm=", // none: no security module that a distribution may or may not enable
		// Most of the kernel's boot is a contest of algorithms for RAID, against
		// the clock.
		"initcall_blacklist=raid6_init,raid6_select_algo,xor_init,calibrate_xor_blocks",
	)
	kernel.Env = []string{"HOME=" + scratch, "TMPDIR=" + scratch}
	kernel.Dir = "/"
	kernel.Stdout, kernel.Stderr = os.Stdout, os.Stderr
	kernel.ExtraFiles = []*os.File{line}
	if err := kernel.Start(); err != nil {
		return err
	}
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(unplugged)
	}()
	if err := kernel.Wait(); err != nil {
		return fmt.Errorf("%s: %w", kernel.Path, err)
	}
	return nil
}

// isolate makes the root, read-only, with a tmpfs in it for the rest, the whole
// file system.
func isolate(s spec) error {
	const inert = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind root: %w", err)
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	if err := unix.Mount("", ".", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|inert, ""); err != nil {
		return fmt.Errorf("make root read-only: %w", err)
	}
	if err := fillOwn(s); err != nil {
		return err
	}
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"proc", "proc", "proc", inert},
		{"/dev", "dev", "", unix.MS_BIND | unix.MS_REC},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	return root.Pivot()
}

// fillOwn makes what is below own, with the root as the working directory.
func fillOwn(s spec) error {
	if err := unix.Mount("tmpfs", "."+own, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	for _, dir := range []string{view, guest, guest + "/install", exchange, scratch} {
		if err := os.Mkdir("."+dir, 0o755); err != nil {
			return err
		}
	}
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	if err := os.WriteFile("."+guest+"/"+initName, program, 0o755); err != nil {
		return err
	}
	what, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile("."+guest+"/spec.json", what, 0o644); err != nil {
		return err
	}
	binds := [][2]string{{".", view}, {"." + guest, view + "/mnt"}}
	if s.Install != "" {
		binds = append(binds, [2]string{s.Install, view + install})
	}
	for _, b := range binds {
		if err := unix.Mount(b[0], "."+b[1], "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", b[0], err)
		}
	}
	return nil
}
