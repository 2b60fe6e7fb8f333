// Package group makes control groups of version 2 that end with what runs in them.
package group

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"
)

// Group is a cgroup below that of its maker. It is reached by descriptors alone,
// so it does not matter where the host has mounted cgroup v2, if at all.
type Group struct {
	Dir    *os.File
	parent *os.File // the maker's
	name   string
}

// New makes a cgroup with this name and something more. It gives the calling
// thread, which has to be locked, a new cgroup namespace.
func New(name string) (*Group, error) {
	// In the namespace of the whole system, a mount would also set the mount
	// options of the whole system.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return nil, fmt.Errorf("unshare cgroup namespace: %w", err)
	}
	parent, err := mountCgroup2()
	if err != nil {
		return nil, fmt.Errorf("mount cgroup2: %w", err)
	}
	g := &Group{parent: parent, name: fmt.Sprintf("%s-%08x", name, rand.Uint32())}
	if err := unix.Mkdirat(int(parent.Fd()), g.name, 0o755); err != nil {
		return nil, fmt.Errorf("make cgroup %s: %w", g.name, err)
	}
	if g.Dir, err = g.open(g.name, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return nil, errors.Join(err, g.Remove())
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

// Within calls f with this process in the cgroup.
func (g *Group) Within(f func() error) error {
	if err := g.join(g.name); err != nil {
		return err
	}
	return errors.Join(f(), g.join("."))
}

func (g *Group) join(name string) error {
	procs, err := g.open(path.Join(name, "cgroup.procs"), unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer procs.Close()
	_, err = procs.WriteString("0") // cgroups(7): the writing process
	return err
}

// Remove removes the cgroup and all below it. Its processes must have been
// killed; the kernel takes a moment to let go of them.
func (g *Group) Remove() error {
	return patiently(func() error { return g.removeAll(g.name) })
}

// RemoveBelow removes all that is below a cgroup, in the same way.
func RemoveBelow(dir *os.File) error {
	return patiently(func() error { return (&Group{parent: dir}).removeChildren(".") })
}

func patiently(remove func() error) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		err := remove()
		if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
			return err
		}
	}
}

func (g *Group) removeAll(name string) error {
	if err := g.removeChildren(name); err != nil {
		return err
	}
	if err := unix.Unlinkat(int(g.parent.Fd()), name, unix.AT_REMOVEDIR); err != nil {
		return &fs.PathError{Op: "remove cgroup", Path: name, Err: err}
	}
	return nil
}

func (g *Group) removeChildren(name string) error {
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

func (g *Group) open(name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(g.parent.Fd()), name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open cgroup", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}
