package machine

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"golang.org/x/sys/unix"
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
	// Signals from inside that PID 1 does not handle do not reach it; Go's
	// runtime handles these, if only to die.
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2)
	io.WriteString(ready, "ready")
	ready.Close()
	go unstick()
	reap()
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
		{"coverage", func() error { return shareCoverage(s.Cover) }},
		{"root", pivotRoot},
		{"propagation", func() error { return propagate(s.Shared) }},
		{"shell", func() error { return linkShell(s.Shell) }},
		{"network", loopbackUp},
		{"hostname", func() error { return unix.Sethostname([]byte(hostname)) }},
		{"files", writeFiles},
	} {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	unix.Umask(0o022)
	return nil
}

const hostname = "openrc"

// mountRoot mounts an overlay over the layer, if there is one, and the root file
// system, and makes it the working directory. What is written to it goes to a tmpfs that no other
// namespace sees.
func mountRoot(root, layer string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	// The tmpfs covers the very folder that it overlays, so no other place for
	// it is needed. The descriptor, and paths relative to the working
	// directory, also spare the quoting of commas and colons in mount options.
	lower := ""
	for _, dir := range []string{layer, root} { // the uppermost first
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
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	options := "lowerdir=" + lower[1:] + ",upperdir=upper,workdir=work"
	if err := unix.Mount("overlay", "root", "overlay", 0, options); err != nil {
		return fmt.Errorf("mount overlay: %w", err)
	}
	return os.Chdir("root")
}

// mountSystem mounts below the working directory what a kernel and a boot
// provide, with the usual flags.
func mountSystem(s spec) error {
	const none = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	type fileSystem struct {
		fstype, target string
		flags          uintptr
		options        string
	}
	all := []fileSystem{
		{"proc", "proc", none, ""},
		{"sysfs", "sys", none, ""},
		{"tmpfs", "dev", unix.MS_NOSUID, "mode=755"},
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,mode=620,ptmxmode=666,gid=5"},
		{"tmpfs", "dev/shm", none, "mode=1777"},
		{"tmpfs", "run", unix.MS_NOSUID | unix.MS_NODEV, "mode=755"},
		{"tmpfs", "tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	}
	switch {
	case s.V1 != "":
		all = append(all,
			fileSystem{"tmpfs", "sys/fs/cgroup", none, "mode=755"},
			fileSystem{"cgroup", "sys/fs/cgroup/openrc", none, "none,name=" + s.V1})
	case !s.Cgroup || s.Hidden:
	case s.Hybrid:
		all = append(all,
			fileSystem{"tmpfs", "sys/fs/cgroup", none, "mode=755"},
			fileSystem{"cgroup2", "sys/fs/cgroup/unified", none, ""})
	default:
		all = append(all, fileSystem{"cgroup2", "sys/fs/cgroup", none, ""})
	}
	for _, f := range all {
		if err := os.MkdirAll(f.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(f.fstype, f.target, f.fstype, f.flags, f.options); err != nil {
			return fmt.Errorf("mount %s at /%s: %w", f.fstype, f.target, err)
		}
	}
	return nil
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

// pivotRoot makes the working directory "/" and lets go of the host's file
// systems.
func pivotRoot() error {
	// pivot_root(2), "pivot_root(".", ".")": the old root comes to lie on top
	// of the new one.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount the host's root: %w", err)
	}
	return os.Chdir("/")
}

func propagate(shared bool) error {
	if !shared {
		return nil
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "")
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

// writeFiles leaves what a boot would have left: without its state folders
// OpenRC 0.45 and 0.56 think of every service that it is already starting, and
// without a softlevel no release starts one.
func writeFiles() error {
	for _, dir := range []string{
		"daemons", "exclusive", "failed", "hotplugged", "inactive", "init.d", "options", "scheduled", "started",
		"starting", "stopping", "tmp", "wasinactive",
	} {
		if err := os.MkdirAll(filepath.Join("/run/openrc", dir), 0o755); err != nil {
			return err
		}
	}
	for path, content := range map[string]string{
		"/proc/sys/kernel/ns_last_pid": "999", // process numbers are of one width, as after a boot
		"/run/openrc/softlevel":        "default",
		"/etc/hostname":                hostname + "\n",
		"/etc/hosts":                   "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost\n",
		"/etc/resolv.conf":             "nameserver 192.0.2.53\n", // the machine has no network; the builder's may be private
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return os.MkdirAll("/run/lock", os.ModeSticky|0o777)
}

// reap collects the processes whose parents have gone. It never returns: PID 1
// ends by SIGKILL.
func reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for range ended {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
				break
			}
		}
	}
}
