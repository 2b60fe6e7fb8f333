// Package vrf confines the IP sockets of a process and of all that comes from
// it: by a BPF program on a cgroup that binds each socket to a VRF device as it
// is made, which is what SO_BINDTODEVICE does, and that can refuse sockets in
// other network namespaces.
//
// The program stays for as long as the cgroup, across fork(2), execve(2) and
// changes of user. ip-vrf(8) works in the same way, without the look at the
// namespace.
package vrf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
)

// Confinement is what the program in a cgroup does to the IP sockets that are
// made in it.
type Confinement struct {
	// Cookie is the network namespace that it is for (SO_NETNS_COOKIE). An
	// interface index means another device in every other namespace.
	Cookie uint64
	// Device is the device to bind to; without Index there is none.
	Device Device
	// Lock refuses sockets in every other network namespace.
	Lock bool
}

// Cgroup says which cgroup a process is to be confined in.
type Cgroup struct {
	// Service is the OpenRC service that the process is; empty for a command
	// by hand.
	Service string
	// Netns is the name of the network namespace, for a command by hand.
	Netns string
	// Path is the cgroup itself, as in /proc/PID/cgroup, where it is chosen
	// already and nobody else is to be in it; see Check. It may be missing, but
	// not the one above.
	Path string
}

// Check refuses a Path that cannot be the cgroup of one command.
func (g Cgroup) Check() error {
	if g.Path != "" && (g.Path[0] != '/' || g.Path == "/" || path.Clean(g.Path) != g.Path) {
		return fmt.Errorf("bad cgroup %q: give its whole path, as in /proc/PID/cgroup, and not the root", g.Path)
	}
	return nil
}

// paths are the cgroup to put the program on, and the one for the process,
// which is the same or further down: "ip vrf exec" wants to put a program of
// its own on the last one, which the kernel would refuse. Current is where the
// process is now.
func (g Cgroup) paths(c Confinement, current string) (program, process string) {
	switch {
	case g.Path != "":
		program = g.Path
	case g.Service != "":
		program = cgroup.ForService(current, g.Service)
	default:
		program = cgroup.ForCommand(current, c.Cookie, c.Device.Index, c.Lock)
		if c.Device.Index != 0 {
			return program, cgroup.ForVRF(program, g.Netns, c.Device.Name)
		}
	}
	return program, program
}

// attempts is how often Apply starts over. Each time some other process has to
// remove the same cgroup in the same moment.
const attempts = 100

// Apply confines the calling process, which is in the network namespace that c
// is for, and proves it with a socket. It returns the cgroup that has the
// program. It needs CAP_SYS_ADMIN, or CAP_BPF, CAP_NET_ADMIN and write access
// to the cgroup. After an error the process is where it was, and no cgroup is
// left behind; undo, for a launch that fails later on, does the same as far as
// it can.
//
// Launches of one kind share a cgroup, and one that fails removes it if it is
// empty. Apply starts over then.
func (c Confinement) Apply(g Cgroup) (confined string, undo func(), err error) {
	// In this order: before its first mount cgroup v2 is not in
	// /proc/PID/cgroup.
	root, err := cgroup.OpenRoot()
	if err != nil {
		return "", nil, err
	}
	a := application{Confinement: c, Cgroup: g, root: root}
	if a.before, err = cgroup.Current(); err == nil {
		a.program, a.process = g.paths(c, a.before)
		err = a.applyOften()
	}
	if err != nil {
		root.Close()
		return "", nil, err
	}
	return a.program, a.undo, nil
}

// application is one Apply under way.
type application struct {
	Confinement
	Cgroup
	root             cgroup.Dir
	before           string // the cgroup that the process was in
	program, process string // see Cgroup.paths
	made             bool   // Path was missing
	fresh            uint32 // the program, by its number, that was put where there was none, on a cgroup that nobody else is in
}

func (a *application) applyOften() (err error) {
	for range attempts {
		if a.Path != "" {
			made, err := a.root.Make(a.Path)
			if err != nil {
				return err // the one above may be missing for good
			}
			a.made = a.made || made
		}
		if err = a.apply(); err == nil {
			return nil
		}
		a.undo()
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			return err
		}
	}
	return err
}

// apply does everything by descriptor: a cgroup may be removed, and created
// again without a program, between two looks at its name.
func (a *application) apply() error {
	exclusive := a.Service != "" || a.Path != ""
	if err := a.root.MakeAll(a.program); err != nil {
		return err
	}
	dir, err := a.root.Open(a.program)
	if err != nil {
		return err
	}
	defer dir.Close()
	there, err := attached(dir)
	if err != nil {
		return err
	}
	defer there.close()
	// By hand the name of the cgroup says what its program does: one that is
	// there is the right one. A service's may date from an earlier start.
	var fd int
	if exclusive || len(there.ours) == 0 {
		if fd, err = a.load(); err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := attach(dir, fd, there); err != nil {
			return err
		}
	} else {
		fd = there.ours[0]
	}
	id, err := idOf(fd)
	if err != nil {
		return err
	}
	if exclusive && len(there.ours) == 0 {
		a.fresh = id
	}
	leaf := dir
	if below := strings.TrimPrefix(a.process, a.program); below != "" {
		if err := dir.MakeAll(below); err != nil {
			return err
		}
		if leaf, err = dir.Open(below); err != nil {
			return err
		}
		defer leaf.Close()
		// What an "ip vrf exec" in an earlier run left there does not look at
		// the namespace. Whoever it was for is bound by the program above.
		if err := clear(leaf); err != nil {
			return err
		}
	}
	if err := leaf.Join(".", 0); err != nil {
		return err
	}
	return a.prove(id)
}

// prove makes sure that the program of that number is in effect where this
// process is now.
func (a *application) prove(id uint32) error {
	current, err := cgroup.Current()
	if err != nil {
		return err
	}
	dir, err := a.root.Open(current)
	if err != nil {
		return err
	}
	defer dir.Close()
	effective, err := query(dir, queryEffective)
	if err != nil {
		return err
	}
	if !slices.Contains(effective, id) {
		return fmt.Errorf("the BPF program is not in effect in cgroup %q, where this process is", current)
	}
	if a.Device.Index != 0 {
		return a.Device.checkBound()
	}
	return nil
}

// undo takes the process back to where it was, and removes what is empty then.
func (a *application) undo() {
	if a.fresh != 0 {
		a.detach()
		a.fresh = 0
	}
	switch {
	case a.process == a.before, a.root.Join(a.before, 0) != nil:
	case a.Path == "":
		a.root.RemoveUp(a.process, a.before)
	case a.made:
		_ = a.root.Remove(a.Path)
	}
}

// detach takes the fresh program off the cgroup.
func (a *application) detach() {
	dir, err := a.root.Open(a.program)
	if err != nil {
		return
	}
	defer dir.Close()
	there, err := attached(dir)
	if err != nil {
		return
	}
	defer there.close()
	for _, program := range there.ours {
		if found, err := idOf(program); err == nil && found == a.fresh {
			_ = detach(dir, program)
		}
	}
}

// JoinCgroup moves this process into a cgroup that Apply returned. The error
// wraps fs.ErrNotExist if the cgroup has gone. If it was created again without
// the program that is an error too, and the process is in it.
func JoinCgroup(confined string) error {
	root, err := cgroup.OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.Join(confined, 0); err != nil {
		return err
	}
	dir, err := root.Open(confined) // which cannot be another one with this process in it
	if err != nil {
		return err
	}
	defer dir.Close()
	there, err := attached(dir)
	if err != nil {
		return err
	}
	defer there.close()
	if len(there.ours) == 0 {
		return fmt.Errorf("there is no longer a program on cgroup %q", confined)
	}
	return nil
}

// Try finds out whether the kernel has what Apply needs: cgroup v2, and BPF
// programs on cgroups, ours among them. It changes nothing.
func (c Confinement) Try() error {
	root, err := cgroup.OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	current, err := cgroup.Current()
	if err != nil {
		return err
	}
	dir, err := root.Open(current)
	if err != nil {
		return err
	}
	defer dir.Close()
	there, err := attached(dir)
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
