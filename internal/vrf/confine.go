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
)

// Cgroup says which cgroup a process is to be confined in.
type Cgroup struct {
	// Service is the OpenRC service that the process is; empty for a command
	// by hand.
	Service string
	// Netns is the name of the network namespace, for the layout by hand.
	Netns string
	// Path is the cgroup itself, as in /proc/PID/cgroup, where it is chosen
	// already and nobody else is to be in it; see Check. It may be missing, but
	// not the one above.
	Path string

	made  bool   // Apply made the one that Path names
	fresh uint32 // the program that Apply put where there was none, on a cgroup that nobody else is in
}

// Check refuses a Path that cannot be the cgroup of one command.
func (g *Cgroup) Check() error {
	if g.Path != "" && (g.Path[0] != '/' || g.Path == "/" || path.Clean(g.Path) != g.Path) {
		return fmt.Errorf("bad cgroup %q: give its whole path, as in /proc/PID/cgroup, and not the root", g.Path)
	}
	return nil
}

// path is the cgroup to put the program on, and the one for the process, which
// is the same or further down. Current is where the process is now.
//
// A service has a cgroup of its own, openrc.NAME or, before OpenRC 0.50, NAME,
// and the process is in it if OpenRC uses cgroups; else one is made.
//
// By hand the cgroup ends as those of ip-vrf(8) do, so that its identify and
// pids know the process. The program is not on that last cgroup: "ip vrf exec"
// wants to put one of its own there, which the kernel would refuse. And the
// cgroup above is for one confinement alone: another one's processes, or those
// of a namespace that had the same name before, must not come under it.
func (g *Cgroup) path(c Confinement, current string) (program, process string) {
	if g.Path != "" {
		return g.Path, g.Path
	}
	if g.Service != "" {
		if IsServiceCgroup(current, g.Service) {
			return current, current
		}
		own := path.Join(stripOurs(current), ownPrefix+g.Service)
		return own, own
	}
	program = path.Join(stripOurs(current), fmt.Sprintf("netns-exec.%d.%d", c.Cookie, c.Device.Index))
	if c.Lock {
		program += ".lock"
	}
	process = program
	if c.Device.Index != 0 {
		if g.Netns != "" {
			process = path.Join(process, g.Netns+"-ns")
		}
		process = path.Join(process, "vrf", c.Device.Name)
	}
	return program, process
}

// ownPrefix begins the names of cgroups that we make for services.
const ownPrefix = "openrc-netns."

// IsServiceCgroup reports whether cgroup is the service's own.
func IsServiceCgroup(cgroup, service string) bool {
	switch path.Base(cgroup) {
	case "openrc." + service, service, ownPrefix + service:
		return true
	}
	return false
}

// stripOurs takes off what an earlier run, of ours or of ip-vrf(8), has put at
// the end, so that nested runs do not go deeper and deeper.
func stripOurs(cgroup string) string {
	for _, mark := range []string{"/netns-exec.", "/" + ownPrefix} {
		if i := strings.Index(cgroup, mark); i >= 0 {
			cgroup = cgroup[:i]
		}
	}
	if dir, _ := path.Split(cgroup); path.Base(dir) == "vrf" {
		cgroup = path.Dir(path.Clean(dir))
		if strings.HasSuffix(cgroup, "-ns") {
			cgroup = path.Dir(cgroup)
		}
	}
	if cgroup == "" {
		return "/"
	}
	return cgroup
}

// attempts is how often Apply starts over. Each time some other process has to
// remove the same cgroup in the same moment.
const attempts = 100

// Apply confines the calling process, which is in the network namespace that c
// is for, and proves it with a socket. It returns the cgroup that has the
// program. It needs CAP_SYS_ADMIN, or CAP_BPF, CAP_NET_ADMIN and write access
// to the cgroup. After an error the process is where it was, and no cgroup is
// left behind.
//
// Launches of one kind share a cgroup, and one that fails removes it if it is
// empty. Apply starts over then.
func (c Confinement) Apply(g *Cgroup) (string, error) {
	// In this order: before its first mount cgroup v2 is not in /proc/PID/cgroup.
	h, err := openHierarchy()
	if err != nil {
		return "", err
	}
	defer h.close()
	current, err := Current()
	if err != nil {
		return "", err
	}
	program, process := g.path(c, current)
	for range attempts {
		if g.Path != "" {
			var made bool
			if made, err = h.mkdir(program); err != nil { // the one above may be missing for good
				return "", err
			}
			g.made = g.made || made
		}
		if err = c.apply(h, g, program, process); err == nil {
			return program, nil
		}
		g.undo(h, process, current)
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			break
		}
	}
	return "", err
}

// Undo takes the process out of the cgroup that it is in and into the given
// one, where it was before Apply, and removes what is empty then. It is for a
// launch that fails later on, and does what it can.
func (g *Cgroup) Undo(before string) {
	current, err := Current()
	if err != nil || current == before && g.fresh == 0 {
		return
	}
	h, err := openHierarchy()
	if err != nil {
		return
	}
	defer h.close()
	g.undo(h, current, before)
}

func (g *Cgroup) undo(h *hierarchy, cgroup, before string) {
	if g.fresh != 0 {
		h.detach(cgroup, g.fresh)
		g.fresh = 0
	}
	switch {
	case cgroup == before, h.join(before, 0) != nil:
	case g.Path == "":
		h.removeUp(cgroup, before)
	case g.made:
		_ = h.remove(g.Path)
	}
}

// apply does all by descriptor: a cgroup may be removed, and made again without
// a program, between two looks at its name.
func (c Confinement) apply(h *hierarchy, g *Cgroup, program, process string) error {
	exclusive := g.Service != "" || g.Path != ""
	if err := makeBelow(h.fd, program); err != nil {
		return err
	}
	cgroup, err := h.open(program)
	if err != nil {
		return fmt.Errorf("open cgroup %q: %w", program, err)
	}
	defer unix.Close(cgroup)
	there, err := attached(cgroup)
	if err != nil {
		return err
	}
	defer there.close()
	// By hand the name of the cgroup says what its program does: one that is
	// there is the right one. A service's may be of an earlier start.
	var fd int
	if exclusive || len(there.ours) == 0 {
		if fd, err = c.load(); err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := attach(cgroup, fd, there); err != nil {
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
		g.fresh = id
	}
	leaf := cgroup
	if below := strings.TrimPrefix(process, program); below != "" {
		if err := makeBelow(cgroup, below); err != nil {
			return err
		}
		if leaf, err = openBelow(cgroup, below); err != nil {
			return fmt.Errorf("open cgroup %q: %w", process, err)
		}
		defer unix.Close(leaf)
		// What an "ip vrf exec" in an earlier run left there does not look at
		// the namespace. Whoever it was for is bound by the program above.
		if err := clear(leaf); err != nil {
			return err
		}
	}
	if err := joinDir(leaf, 0); err != nil {
		return fmt.Errorf("join cgroup %q: %w", process, err)
	}
	return c.prove(h, id)
}

// prove makes sure that the program of that number is in effect where this
// process is by now.
func (c Confinement) prove(h *hierarchy, id uint32) error {
	current, err := Current()
	if err != nil {
		return err
	}
	cgroup, err := h.open(current)
	if err != nil {
		return fmt.Errorf("open cgroup %q: %w", current, err)
	}
	defer unix.Close(cgroup)
	effective, err := query(cgroup, queryEffective)
	if err != nil {
		return err
	}
	if !slices.Contains(effective, id) {
		return fmt.Errorf("the BPF program is not in effect in cgroup %q, where this process is", current)
	}
	if c.Device.Index != 0 {
		return c.Device.CheckBound()
	}
	return nil
}

// detach takes the program of that number off the cgroup.
func (h *hierarchy) detach(cgroup string, id uint32) {
	dir, err := h.open(cgroup)
	if err != nil {
		return
	}
	defer unix.Close(dir)
	there, err := attached(dir)
	if err != nil {
		return
	}
	defer there.close()
	for _, program := range there.ours {
		if found, err := idOf(program); err == nil && found == id {
			_ = detach(dir, program)
		}
	}
}

// removeUp removes the cgroups from cgroup up to, and without, the given one,
// as far as they are empty.
func (h *hierarchy) removeUp(cgroup, stop string) {
	for cgroup != stop && cgroup != "/" && cgroup != "." {
		if err := h.remove(cgroup); err != nil && !errors.Is(err, unix.ENOENT) {
			return
		}
		cgroup = path.Dir(cgroup)
	}
}

// Join moves this process into a cgroup that Apply returned. The error wraps
// fs.ErrNotExist where the cgroup has gone. One that was made again without the
// program is an error too, and the process is in it.
func Join(cgroup string) error {
	h, err := openHierarchy()
	if err != nil {
		return err
	}
	defer h.close()
	dir, err := h.open(cgroup)
	if err == nil {
		defer unix.Close(dir)
		err = joinDir(dir, 0)
	}
	if err != nil {
		return fmt.Errorf("join cgroup %q: %w", cgroup, err)
	}
	there, err := attached(dir)
	if err != nil {
		return err
	}
	defer there.close()
	if len(there.ours) == 0 {
		return fmt.Errorf("no program is on cgroup %q any more", cgroup)
	}
	return nil
}

// Release takes this process out of a cgroup that Apply made for another one,
// if it is in such a cgroup.
func Release() error {
	current, err := Current()
	if err != nil {
		return nil // no cgroup v2, nothing to leave
	}
	outer := stripOurs(current)
	if outer == current {
		return nil
	}
	h, err := openHierarchy()
	if err != nil {
		return err
	}
	defer h.close()
	return h.join(outer, 0)
}

// Leave takes this process, and the process pid if it is not 0, out of the
// service's own cgroup, and removes that if it is empty then. It does nothing
// for a process in any other cgroup.
func Leave(service string, pid int) error {
	current, err := Current()
	if err != nil || !IsServiceCgroup(current, service) {
		return err
	}
	h, err := openHierarchy()
	if err != nil {
		return err
	}
	defer h.close()
	if pid != 0 {
		if err := h.join(path.Dir(current), pid); err != nil {
			return err
		}
	}
	if err := h.join(path.Dir(current), 0); err != nil {
		return err
	}
	if err := h.remove(current); err != nil && !errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("remove cgroup %q: %w", current, err)
	}
	return nil
}
