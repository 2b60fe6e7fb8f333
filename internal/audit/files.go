package audit

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
)

// etcFile is one that stands in for another in /etc.
type etcFile struct {
	bind mounts.Bind
	file files.ID
}

// entries lists those of the namespace called name.
func (a *auditor) entries(name string) []etcFile {
	if entries, read := a.etc[name]; read {
		return entries
	}
	binds, _ := mounts.EtcEntries(name)
	var entries []etcFile
	for _, bind := range binds {
		if found, err := files.Identify(unix.AT_FDCWD, bind.Source); err == nil {
			entries = append(entries, etcFile{bind, found})
		}
	}
	a.etc[name] = entries
	return entries
}

// View is what processes of a service that share a mount namespace, and the root
// directory in it, see of the files that stand in for those of /etc.
type View struct {
	Process Process // one of them
	// Mounts is the inode of the mount namespace, ID the whole if it is Own.
	Mounts uint64
	ID     mounts.ID
	// Own says that the start of the service made it, or that it was made from
	// that: nowhere else is anything bound.
	Own bool
	// Apart says that none of them has the root directory of this process, as in
	// a chroot: its /etc is another one.
	Apart bool
	// Lost are the binds that are not there.
	Lost []mounts.Bind

	root uint64 // the mount that the root directory is on, see files.MountOf
}

// judgeFiles compares the files that the daemons of s see in /etc with those
// that were bound there. A mount goes, without a word, when what is below it is
// renamed or removed in any mount namespace, which is how many programs write
// resolv.conf.
func (a *auditor) judgeFiles(s *Service) {
	name := namespace.BaseName(s.Netns)
	if s.Settings == nil || name == "" || !s.Settings.BindsEtc() ||
		s.Record == nil || s.Record.Netns != s.Netns || s.State == openrc.Starting || s.State == openrc.Stopping {
		return
	}
	entries := a.entries(name)
	if len(entries) == 0 {
		return
	}
	found := map[string]bool{}
	// A worker without its parent is only claimed, and sees what it sees.
	all := slices.Clone(s.Processes)
	slices.SortStableFunc(all, func(p, q Process) int {
		switch {
		case p.certain() == q.certain():
			return 0
		case p.certain():
			return -1
		}
		return 1
	})
	for _, p := range all {
		if p.Position != Inside && p.Position != Started {
			continue
		}
		inode := a.processes[p.PID].mounts
		if inode == 0 {
			a.unseen.Files++
			return
		}
		view, root, err := openRoot(p.PID)
		apart := errors.Is(err, files.ErrOtherRoot)
		if errors.Is(err, files.ErrStuck) {
			a.unseen.Stuck++
			continue
		}
		if err != nil && !apart {
			continue // gone
		}
		i := slices.IndexFunc(s.Views, func(v View) bool { return v.Mounts == inode && (apart || v.Apart || v.root == root) })
		switch {
		case i >= 0 && (apart || !s.Views[i].Apart), p.Claimed && !sameOwner(p.PID):
			view.Close()
			continue
		case i < 0 && len(s.Views) == mostViews:
			view.Close()
			a.unseen.Stuck++
			return
		case i < 0:
			i = len(s.Views)
			s.Views = append(s.Views, View{})
		}
		v := &s.Views[i]
		*v = View{Process: p, Mounts: inode, Apart: apart, root: root}
		if apart {
			continue
		}
		v.Own = a.owns(s, v)
		for _, entry := range entries {
			id, before, err := entry.compare(view)
			if errors.Is(err, files.ErrStuck) {
				a.unseen.Stuck++
				break
			}
			if id == "" {
				continue
			}
			// Nobody who does not want to wait goes there to bind it.
			waits := err != nil && !errors.Is(err, unix.ENOENT)
			if waits && !p.Lives() {
				break
			}
			if !waits {
				v.Lost = append(v.Lost, entry.bind)
			}
			remedy := s.repair(before)
			if !v.Own || waits {
				remedy = s.restart(before)
			}
			if key := fmt.Sprint(entry.bind.Target, v.Own, waits); !found[key] {
				found[key] = true
				s.add(finding.Files, id, remedy, entry.bind.Target, entry.bind.Source)
			}
		}
		view.Close()
	}
}

// mostViews is how many views of a service are looked at.
const mostViews = 32

// openRoot is files.OpenSameView, and the mount that the root directory is on.
func openRoot(pid int) (view *files.View, root uint64, err error) {
	if view, err = files.OpenSameView(pid); err == nil {
		if root, err = view.RootMount(); err != nil {
			view.Close()
		}
	}
	return view, root, err
}

// sameOwner reports whether a process is in a mount namespace that is none of a user
// namespace of somebody else's, who sees there what he likes.
func sameOwner(pid int) bool {
	ns, err := mounts.Of(pid)
	if err != nil {
		return false
	}
	defer ns.Close()
	return ns.SameOwner()
}

// owns reports whether a view of s is that of its start, or of a mount namespace that
// was made from that: not of the host's, nor another service's, nor one of somebody
// else's making, nor a chroot.
func (a *auditor) owns(s *Service, v *View) bool {
	if a.others == nil {
		a.others = map[uint64]bool{a.hostMounts: true}
		names, _ := openrc.Services()
		for _, name := range names {
			if record, err := openrc.ReadRecord(name); err == nil && record != nil {
				a.others[record.Mounts.Inode] = true
			}
		}
	}
	start := v.Mounts == s.Record.Mounts.Inode
	if start && !s.hasView(v.Process.PID) || !start && a.others[v.Mounts] {
		return false
	}
	ns, err := mounts.Of(v.Process.PID)
	if err != nil {
		return false
	}
	defer ns.Close()
	if ns.ID().Inode != v.Mounts || !ns.SameOwner() || !start && !mounts.Marked(v.Process.PID) {
		return false
	}
	v.ID = ns.ID()
	root, err := files.Patiently(v.Process.PID, ns.RootMount)
	return err == nil && root == v.root
}

// compare says what is wrong with the entry in a view, and what to do before it
// can be bound again; nothing if nothing is wrong. The error says why it is not to
// be seen.
func (e etcFile) compare(view *files.View) (id finding.ID, remedy finding.Remedy, err error) {
	path := e.bind.Target
	host, hostErr := files.Identify(unix.AT_FDCWD, path)
	// A link is followed as the process would follow it.
	seen, err := view.Identify(path)
	switch {
	case errors.Is(err, unix.ENOENT) && hostErr != nil:
		return finding.EtcUnbound, finding.Run("touch", path), err
	case errors.Is(err, unix.ENOENT):
		return finding.EtcUnbound, remedy, err
	case err != nil:
		return finding.EtcReplaced, remedy, err
	case seen == e.file:
		return "", remedy, err
	case hostErr == nil && seen == host:
		return finding.EtcHost, remedy, err
	}
	return finding.EtcReplaced, remedy, err
}
