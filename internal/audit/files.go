package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
)

// file tells a file from every other one.
type file struct{ device, inode uint64 }

// etcFile is an entry of /etc/netns/NAME.
type etcFile struct {
	name string
	file file
}

// entries lists those of the namespace called name.
func (l *lookout) entries(name string) []etcFile {
	if files, read := l.etc[name]; read {
		return files
	}
	dir := filepath.Join(mounts.EtcDir, name)
	entries, _ := os.ReadDir(dir)
	var files []etcFile
	for _, entry := range entries {
		if found, err := find(unix.AT_FDCWD, filepath.Join(dir, entry.Name()), 0); err == nil {
			files = append(files, etcFile{entry.Name(), found})
		}
	}
	l.etc[name] = files
	return files
}

// judgeFiles compares the files that the daemons of s see in /etc with those that
// were bound there. A mount goes, without a word, when what is below it is renamed
// or removed in any mount namespace, which is how most programs write
// resolv.conf.
func (l *lookout) judgeFiles(s *Service) {
	name := namespace.BaseName(s.Netns)
	if s.Settings == nil || name == "" || s.Settings.Etc == launch.EtcNone ||
		s.Record == nil || s.Record.Netns != s.Netns || s.State == openrc.Starting || s.State == openrc.Stopping {
		return
	}
	entries := l.entries(name)
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
				l.unseen.Files++
				return
			}
			continue
		}
		if seen[view] {
			continue
		}
		root, err := openRoot(p.PID)
		if err != nil {
			continue // in a chroot, or gone
		}
		seen[view] = true
		for _, entry := range entries {
			if problem := entry.compare(root); problem.Reason != 0 && !found[entry.name] {
				found[entry.name] = true
				s.add(problem)
			}
		}
		unix.Close(root)
	}
}

// openRoot opens the root directory of a process, if that is the one of its mount
// namespace.
func openRoot(pid int) (int, error) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	its, err := find(root, "", 0)
	ours, ourErr := find(unix.AT_FDCWD, "/", 0)
	if err != nil || ourErr != nil || its != ours {
		unix.Close(root)
		return -1, errors.New("in a chroot")
	}
	return root, nil
}

// compare says what is wrong with the entry below root; Reason is 0 if nothing is.
func (e etcFile) compare(root int) Problem {
	problem := Problem{Verdict: DNS, File: e.name}
	host, hostErr := find(unix.AT_FDCWD, "/etc/"+e.name, 0)
	// A link is followed as the process would follow it.
	seen, err := find(root, "etc/"+e.name, unix.RESOLVE_IN_ROOT)
	switch {
	case errors.Is(err, unix.ENOENT):
		problem.Reason, problem.HostFile = NoFile, hostErr == nil
	case err != nil, seen == e.file:
	case hostErr == nil && seen == host:
		problem.Reason = HostsFile
	default:
		problem.Reason = OtherFile
	}
	return problem
}

// find opens nothing, so that it waits for nothing, whatever lies there.
func find(dir int, path string, resolve uint64) (file, error) {
	var stat unix.Stat_t
	if path == "" {
		err := unix.Fstat(dir, &stat)
		return file{uint64(stat.Dev), stat.Ino}, err
	}
	fd, err := unix.Openat2(dir, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: resolve})
	if errors.Is(err, unix.ENOSYS) && resolve == 0 { // Linux 5.6
		fd, err = unix.Openat(dir, path, unix.O_PATH|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return file{}, err
	}
	defer unix.Close(fd)
	err = unix.Fstat(fd, &stat)
	return file{uint64(stat.Dev), stat.Ino}, err
}
