package audit

import (
	"errors"
	"fmt"
	"os"

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
		if found, err := files.Identify(unix.AT_FDCWD, bind.Source, 0); err == nil {
			entries = append(entries, etcFile{bind, found})
		}
	}
	a.etc[name] = entries
	return entries
}

// judgeFiles compares the files that the daemons of s see in /etc with those
// that were bound there. A mount goes, without a word, when what is below it is
// renamed or removed in any mount namespace, which is how most programs write
// resolv.conf.
func (a *auditor) judgeFiles(s *Service) {
	name := namespace.BaseName(s.Netns)
	if s.Settings == nil || name == "" || s.Settings.Etc == openrc.EtcNone ||
		s.Record == nil || s.Record.Netns != s.Netns || s.State == openrc.Starting || s.State == openrc.Stopping {
		return
	}
	entries := a.entries(name)
	if len(entries) == 0 {
		return
	}
	seen := map[uint64]bool{}
	found := map[string]bool{}
	for _, p := range s.Daemons() {
		if p.Position != Inside && p.Position != Started {
			continue
		}
		view, err := inodeOf(fmt.Sprintf("/proc/%d/ns/mnt", p.PID))
		if err != nil {
			if errors.Is(err, os.ErrPermission) {
				a.unseen.Files++
				return
			}
			continue
		}
		if seen[view] {
			continue
		}
		root, err := files.OpenRoot(p.PID)
		if err != nil {
			continue // in a chroot, or gone
		}
		seen[view] = true
		for _, entry := range entries {
			if id, remedy := entry.compare(root); id != "" && !found[entry.bind.Target] {
				found[entry.bind.Target] = true
				s.add(finding.Etc, id, s.restart(remedy), entry.bind.Target, entry.bind.Source)
			}
		}
		unix.Close(root)
	}
}

// compare says what is wrong with the entry below root, and what to do before a
// restart; nothing if nothing is wrong.
func (e etcFile) compare(root int) (id finding.ID, remedy finding.Remedy) {
	path := e.bind.Target
	host, hostErr := files.Identify(unix.AT_FDCWD, path, 0)
	// A link is followed as the process would follow it.
	seen, err := files.Identify(root, path[1:], unix.RESOLVE_IN_ROOT)
	switch {
	case errors.Is(err, unix.ENOENT) && hostErr != nil:
		return finding.EtcUnbound, finding.Run("touch", path)
	case errors.Is(err, unix.ENOENT):
		return finding.EtcUnbound, remedy
	case err != nil, seen == e.file:
		return "", remedy
	case hostErr == nil && seen == host:
		return finding.EtcHost, remedy
	}
	return finding.EtcReplaced, remedy
}
