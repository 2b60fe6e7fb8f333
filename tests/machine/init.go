package machine

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/root"
)

// runPID1 puts the machine together, in the namespaces that the keeper made,
// says on descriptor 3 that it is "ready" or what went wrong, and then reaps
// children for ever.
func runPID1(s spec) error {
	ready := os.NewFile(3, "ready")
	unix.CloseOnExec(3)
	if err := assemble(s); err != nil {
		_, err = io.WriteString(ready, err.Error())
		return err
	}
	io.WriteString(ready, "ready")
	ready.Close()
	go unstick()
	root.Reap(0)
	return nil
}

// assemble turns the namespaces into a machine as OpenRC's boot would leave it.
func assemble(s spec) error {
	unix.Umask(0)
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"root", func() error { return mountRoot(s.Root, s.Layer) }},
		{"file systems", func() error { return mountSystem(s) }},
		{"devices", makeDevices},
		{"root", root.Pivot},
		{"shell", func() error { return linkShell(s.Shell) }},
		{"network", loopbackUp},
		{"name", root.Name},
		{"state", root.Booted},
		{"files", writeFiles},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	unix.Umask(0o022)
	return nil
}

// mountRoot mounts an overlay over the layer, if there is one, and the root file
// system, and makes it the working directory. What is written to it goes to a tmpfs that no other
// namespace sees.
func mountRoot(dir, layer string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	// The tmpfs covers the very folder that it overlays, so no other place for
	// it is needed. The descriptor, and paths relative to the working
	// directory, also spare the quoting of commas and colons in mount options.
	lower := ""
	for _, dir := range []string{layer, dir} { // the uppermost first
		if dir == "" {
			continue
		}
		open, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return err
		}
		defer open.Close()
		lower += fmt.Sprintf(":/proc/self/fd/%d", open.Fd())
	}
	return root.Overlay(dir, lower[1:])
}

// mountSystem mounts below the working directory what a kernel and a boot
// provide, with the usual flags.
func mountSystem(s spec) error {
	all := []root.Mount{
		{"proc", "proc", root.None, ""},
		{"sysfs", "sys", root.None, ""},
		{"tmpfs", "dev", unix.MS_NOSUID, "mode=755"},
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,mode=620,ptmxmode=666,gid=5"},
		{"tmpfs", "dev/shm", root.None, "mode=1777"},
		{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
	switch {
	case s.V1 != "":
		all = append(all,
			root.Mount{"tmpfs", "sys/fs/cgroup", root.None, "mode=755"},
			root.Mount{"cgroup", "sys/fs/cgroup/openrc", root.None, "none,name=" + s.V1})
	case !s.Cgroup || s.Hidden:
	case s.Hybrid:
		all = append(all,
			root.Mount{"tmpfs", "sys/fs/cgroup", root.None, "mode=755"},
			root.Mount{"cgroup2", "sys/fs/cgroup/unified", root.None, ""})
	default:
		all = append(all, root.Mount{"cgroup2", "sys/fs/cgroup", root.None, ""})
	}
	return root.MountAll(all...)
}

// makeDevices fills dev with what any program may expect, and with no device
// that reaches a disk.
func makeDevices() error {
	if err := os.Mkdir("dev/net", 0o755); err != nil {
		return err
	}
	for name, device := range map[string]uint64{ // numbers: Linux, Documentation/admin-guide/devices.txt
		"null":    unix.Mkdev(1, 3),
		"zero":    unix.Mkdev(1, 5),
		"full":    unix.Mkdev(1, 7),
		"random":  unix.Mkdev(1, 8),
		"urandom": unix.Mkdev(1, 9),
		"tty":     unix.Mkdev(5, 0),
		"console": unix.Mkdev(5, 1),
		"net/tun": unix.Mkdev(10, 200),
	} {
		if err := unix.Mknod("dev/"+name, unix.S_IFCHR|0o666, int(device)); err != nil {
			return fmt.Errorf("make /dev/%s: %w", name, err)
		}
	}
	for name, target := range map[string]string{
		"ptmx":   "pts/ptmx",
		"fd":     "/proc/self/fd",
		"stdin":  "/proc/self/fd/0",
		"stdout": "/proc/self/fd/1",
		"stderr": "/proc/self/fd/2",
	} {
		if err := os.Symlink(target, "dev/"+name); err != nil {
			return err
		}
	}
	return nil
}

func linkShell(shell string) error {
	programs := []string{"sh"}
	switch shell {
	case "":
		return nil
	case "busybox":
		// With it come, as on Alpine, those tools that init scripts use most.
		// (Not sleep, of which tests run copies under other names.)
		programs = append(programs, "cat", "cut", "grep", "id", "ln", "mkdir", "rm", "sed", "tr")
	}
	for _, program := range programs {
		path := "/bin/" + program
		if err := os.Remove(path); err != nil {
			return err
		}
		if err := os.Symlink(shell, path); err != nil {
			return err
		}
	}
	return nil
}

func loopbackUp() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request)
}

// writeFiles leaves what else a boot would have left.
func writeFiles() error {
	// Process numbers are of one width, as after a boot.
	if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte("999"), 0o644); err != nil {
		return err
	}
	return os.MkdirAll("/run/lock", os.ModeSticky|0o777)
}
