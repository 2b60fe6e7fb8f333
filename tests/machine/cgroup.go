package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cgroup is a machine's cgroup, below the keeper's own. It is reached by
// descriptors alone, so it does not matter where the host has mounted cgroup
// v2, if at all.
type cgroup struct {
	parent *os.File // the keeper's
	name   string
	dir    *os.File
}

// newCgroup makes a cgroup. It gives the calling thread, which has to be
// locked, a new cgroup namespace.
func newCgroup() (*cgroup, error) {
	// In the namespace of the whole system, a mount would also set the mount
	// options of the whole system.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return nil, fmt.Errorf("unshare cgroup namespace: %w", err)
	}
	parent, err := mountCgroup2()
	if err != nil {
		return nil, fmt.Errorf("mount cgroup2: %w", err)
	}
	g := &cgroup{parent: parent, name: fmt.Sprintf("machine-%08x", rand.Uint32())}
	if err := unix.Mkdirat(int(parent.Fd()), g.name, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup %s: %w", g.name, err)
	}
	if g.dir, err = g.open(g.name, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return nil, errors.Join(err, g.remove())
	}
	return g, nil
}

// mountCgroup2 mounts cgroup v2 at no path, for as long as the descriptor is
// open: that of the process's own cgroup, which is the root of its cgroup
// namespace.
func mountCgroup2() (*os.File, error) {
	context, err := unix.Fsopen("cgroup2", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "cgroup2"), nil
}

// legacyName is of a hierarchy of cgroup v1 that nobody else has.
func legacyName() string { return fmt.Sprintf("machine-%08x", rand.Uint32()) }

// mountLegacy mounts a hierarchy of cgroup v1 without controllers in the same
// way, and makes it where there is none of that name. Only the cgroup namespace
// of the whole system can do that.
func mountLegacy(name string) (root *os.File, err error) {
	context, err := unix.Fsopen("cgroup", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	if err := errors.Join(unix.FsconfigSetFlag(context, "none"), unix.FsconfigSetString(context, "name", name)); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// forgetLegacy has the kernel forget a hierarchy that nobody has mounted any
// more. It does so some time after an unmount, if by then it has let go of the
// cgroups that were in it. Where it stays, one unmount more is tried.
func forgetLegacy(name string) error {
	const tries, looks = 60, 50
	for range tries {
		for range looks {
			table, err := os.ReadFile("/proc/self/cgroup")
			if err != nil || !strings.Contains(string(table), ":name="+name+":") {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		if root, err := mountLegacy(name); err == nil {
			root.Close()
		}
	}
	return fmt.Errorf("remove cgroup v1 %s: it stays", name)
}

// within calls f with this process in the cgroup.
func (g *cgroup) within(f func() error) error {
	if err := g.join(g.name); err != nil {
		return err
	}
	return errors.Join(f(), g.join("."))
}

func (g *cgroup) join(name string) error {
	procs, err := g.open(path.Join(name, "cgroup.procs"), unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer procs.Close()
	_, err = procs.WriteString("0") // cgroups(7): the writing process
	return err
}

// remove removes the cgroup and all below it. Its processes must have been
// killed; the kernel takes a moment to let go of them.
func (g *cgroup) remove() error {
	return patiently(func() error { return g.removeAll(g.name) })
}

// removeBelow removes all below the parent.
func (g *cgroup) removeBelow() error {
	return patiently(func() error { return g.removeChildren(".") })
}

func patiently(remove func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := remove()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

func (g *cgroup) removeAll(name string) error {
	if err := g.removeChildren(name); err != nil {
		return err
	}
	if err := unix.Unlinkat(int(g.parent.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &fs.PathError{Op: "remove cgroup", Path: name, Err: err}
	}
	return nil
}

func (g *cgroup) removeChildren(name string) error {
	dir, err := g.open(name, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := g.removeAll(path.Join(name, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *cgroup) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(g.parent.Fd()), name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open cgroup", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
