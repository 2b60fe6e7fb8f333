package vm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// unplugged is the exit status of vm-host when the program has closed the virtual machine.
const unplugged = 80

// The program's own folder in the root: a tmpfs of vm-host over what the root has there, which vm-init hides from the
// guest.
const (
	own     = "/mnt"
	initExe = own + "/" + initName
	install = own + "/install"
	scratch = own + "/scratch" // the guest's memory and the kernel's sockets
	orders  = own + "/spec.json"
	// exchange has what program and agent write to each other.
	exchange = own + "/exchange"
)

// memory is what the guest has. It is taken from the host only as it is used.
const memory = "512M"

// runHost is PID 1 of the namespaces that [VM.start] made: all that runs in them ends with it. It makes the root the
// file system of the kernel, and runs that until standard input ends.
func runHost(s spec) error {
	line := os.NewFile(3, "serial line")
	if err := isolate(s); err != nil {
		return err
	}
	kernel := exec.Command("/usr/bin/linux.uml",
		"mem="+memory, "uml_dir="+scratch, "root=none", "rootfstype=hostfs", "rootflags=/", "ro", "init="+initExe,
		"con=null", "con0=null,fd:1", "ssl0=fd:3", "quiet",
		"lsm=", // none: no security module that a distribution may or may not enable
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

// isolate makes the root, read-only, and the program's own folder in it the whole file system.
func isolate(s spec) error {
	const none = unix.MS_NOSUID | unix.MS_NODEV
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	if err := unix.Mount(s.Root, s.Root, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind root: %w", err)
	}
	if err := os.Chdir(s.Root); err != nil {
		return err
	}
	if err := unix.Mount("", ".", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|none, ""); err != nil {
		return fmt.Errorf("make root read-only: %w", err)
	}
	if err := fillOwn(s); err != nil {
		return err
	}
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"proc", "proc", "proc", none | unix.MS_NOEXEC},
		{"/dev", "dev", "", unix.MS_BIND},
	} {
		if err := unix.Mount(m.source, m.target, m.fstype, m.flags, ""); err != nil {
			return fmt.Errorf("mount /%s: %w", m.target, err)
		}
	}
	// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top of the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host's root: %w", err)
	}
	return os.Chdir("/")
}

// fillOwn makes the program's own folder, with the root as the working directory.
func fillOwn(s spec) error {
	inRoot := func(path string) string { return filepath.Join(".", path) }
	if err := unix.Mount("tmpfs", inRoot(own), "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	what, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(inRoot(orders), what, 0o644); err != nil {
		return err
	}
	if err := copyProgram(inRoot(initExe)); err != nil {
		return fmt.Errorf("copy the program: %w", err)
	}
	for _, dir := range []string{scratch, install, exchange} {
		if err := os.Mkdir(inRoot(dir), 0o755); err != nil {
			return err
		}
	}
	if s.Install == "" {
		return nil
	}
	if err := unix.Mount(s.Install, inRoot(install), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind %s: %w", s.Install, err)
	}
	return nil
}

func copyProgram(to string) error {
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		return err
	}
	defer from.Close()
	file, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	return errors.Join(err, file.Close())
}
