// Package root makes a root file system a running machine's: what package
// machine does in namespaces, and package vm in the guest.
package root

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
)

const hostname = "openrc"

// Overlay mounts a tmpfs at dir, and in it an overlay over the lower folders,
// as overlayfs has them in its options; what is written goes to the tmpfs. The
// overlay is the working directory then.
func Overlay(dir, lower string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	if err := unix.Mount("overlay", "root", "overlay", 0, "lowerdir="+lower+",upperdir=upper,workdir=work"); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return os.Chdir("root")
}

// Pivot makes the working directory "/", and lets go of the old root.
func Pivot() error {
	// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top
	// of the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the old root: %w", err)
	}
	return os.Chdir("/")
}

// Mount is a file system without a device. (It has no name of its own, for lists
// without the names of the fields.)
type Mount = struct {
	Type, Target string
	Flags        uintptr
	Options      string
}

// None are the flags of mounts that have no programs.
const None = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// MountAll mounts them in this order, and makes the folders for them.
func MountAll(all ...Mount) error {
	for _, m := range all {
		if err := os.MkdirAll(m.Target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.Type, m.Target, m.Type, m.Flags, m.Options); err != nil {
			return fmt.Errorf("mount %s at %s: %w", m.Type, m.Target, err)
		}
	}
	return nil
}

// Name gives the machine its name, and the files that go with it.
func Name() error {
	for path, content := range map[string]string{
		"/etc/hostname":    hostname + "\n",
		"/etc/hosts":       "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"/etc/resolv.conf": "nameserver 192.0.2.53\n", // it has no network; the builder's may be private
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return unix.Sethostname([]byte(hostname))
}

// Booted leaves what a boot of OpenRC would have left: without its state folders
// OpenRC 0.45 and 0.56 think of every service that it is already starting, and
// without a softlevel no release starts one.
func Booted() error {
	for _, dir := range []string{
		"daemons", "exclusive", "failed", "hotplugged", "inactive", "init.d", "options", "scheduled", "started",
		"starting", "stopping", "tmp", "wasinactive",
	} {
		if err := os.MkdirAll(filepath.Join("/run/openrc", dir), 0o755); err != nil {
			return err
		}
	}
	return os.WriteFile("/run/openrc/softlevel", []byte("default"), 0o644)
}

// Reap collects the processes whose parents have gone, until the last one has
// ended; for ever if that is 0. It is for PID 1.
func Reap(last int) {
	// The kernel keeps from PID 1 what it does not handle; Go's runtime handles
	// these, if only to die.
	deadly := []os.Signal{unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2}
	signal.Notify(make(chan os.Signal, 1), deadly...)
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case pid > 0 && pid == last:
			return
		case pid <= 0 && err != unix.EINTR:
			<-ended
		}
	}
}
