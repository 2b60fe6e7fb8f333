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

// View is what processes of a service that share a mount namespace see of the
// files that stand in for those of /etc.
type View struct {
	Process Process // one of them
	// Mounts is the inode of the mount namespace.
	Mounts uint64
	// Own says that the start of the service made it, or that it was made from
	// that: nowhere else is anything bound.
	Own bool
	// Apart says that none of them has the root directory of this process, as in
	// a chroot: its /etc is another one.
	Apart bool
	// Lost are the binds that are not there.
	Lost []mounts.Bind
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
	for _, p := range s.Daemons() {
		if p.Position != Inside && p.Position != Started {
			continue
		}
		inode := a.processes[p.PID].mounts
		if inode == 0 {
			a.unseen.Files++
			return
		}
		i := slices.IndexFunc(s.Views, func(v View) bool { return v.Mounts == inode })
		if i >= 0 && !s.Views[i].Apart {
			continue
		}
		if len(s.Views) >= mostViews {
			a.unseen.Files++
			return
		}
		if p.Claimed && !sameOwner(p.PID) {
			continue
		}
		view, err := files.OpenSameView(p.PID)
		if err != nil && !errors.Is(err, files.ErrOtherRoot) {
			continue // gone
		}
		if i < 0 {
			i = len(s.Views)
			s.Views = append(s.Views, View{})
		}
		v := &s.Views[i]
		*v = View{Process: p, Mounts: inode, Own: a.owns(s, p), Apart: err != nil}
		if err != nil {
			continue
		}
		for _, entry := range entries {
			id, before, err := entry.compare(view)
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

// mostViews is how many mount namespaces of a service are looked into.
const mostViews = 32

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

// owns reports whether the mount namespace of a process is the one that the start
// of s made, or was made from that: not the host's, nor another service's, nor one
// of somebody else's making.
func (a *auditor) owns(s *Service, p Process) bool {
	inode := a.processes[p.PID].mounts
	if a.others == nil {
		a.others = map[uint64]bool{a.hostMounts: true}
		names, _ := openrc.Services()
		for _, name := range names {
			if record, err := openrc.ReadRecord(name); err == nil && record != nil {
				a.others[record.Mounts.Inode] = true
			}
		}
	}
	if inode == s.Record.Mounts.Inode {
		return s.hasView(p.PID)
	}
	if a.others[inode] {
		return false
	}
	ns, err := mounts.Of(p.PID)
	if err != nil {
		return false
	}
	defer ns.Close()
	return ns.ID().Inode == inode && ns.SameOwner() && mounts.Marked(p.PID)
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
