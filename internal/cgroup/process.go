package cgroup

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// Processes lists the processes in a cgroup. It is an error if there are
// cgroups below, whose processes are its own too.
func Processes(cgroup string) ([]int, error) {
	root, err := OpenRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir := root.file(cgroup, "")
	entries, err := files.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list the processes of cgroup %q: %w", cgroup, err)
	}
	for _, entry := range entries {
		if entry.IsDir() {
			return nil, fmt.Errorf("there are cgroups below cgroup %q", cgroup)
		}
	}
	lines, err := files.Read(dir + "cgroup.procs")
	if err != nil {
		return nil, fmt.Errorf("list the processes of cgroup %q: %w", cgroup, err)
	}
	return numbers(lines), nil
}

// Members lists the processes in the cgroup that OpenRC gives a service, in the recorded
// one, and in those below; all of them, or else there are too many of these.
func Members(service, recorded string) (pids []int, all bool) {
	const most = 64
	root, err := OpenRoot()
	if err != nil {
		return nil, true
	}
	defer root.Close()
	left := most
	for _, cgroup := range []string{openrcPrefix + service, recorded} {
		if path.Join("/", cgroup) == "/" {
			continue
		}
		_ = filepath.WalkDir(root.file(cgroup, ""), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.IsDir() {
				return nil
			}
			if left--; left < 0 {
				return fs.SkipAll
			}
			lines, _ := files.Read(filepath.Join(path, "cgroup.procs"))
			pids = append(pids, numbers(lines)...)
			return nil
		})
	}
	return pids, left >= 0
}

// numbers are those of cgroup.procs; the 0 of a process that cannot be told is none.
func numbers(lines []byte) (pids []int) {
	for line := range strings.Lines(string(lines)) {
		if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// file is the path of a file of a cgroup below d, for as long as d is open.
func (d Dir) file(below, name string) string {
	return fmt.Sprintf("/proc/thread-self/fd/%d/%s/%s", d.fd, path.Join(".", below), name)
}

// Current returns the cgroup v2 of this process.
func Current() (string, error) { return cgroupIn("/proc/self/cgroup") }

// Of is Current for another process.
func Of(pid int) (string, error) { return cgroupIn(files.Proc(pid) + "/cgroup") }

func cgroupIn(file string) (string, error) {
	table, err := files.Read(file)
	if err != nil {
		return "", fmt.Errorf("find the cgroup of this process: %w", err)
	}
	for line := range bytes.Lines(table) {
		cgroup, v2 := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::")
		if !v2 {
			continue
		}
		if strings.HasPrefix(cgroup, "/..") {
			return "", errElsewhere
		}
		return cgroup, nil
	}
	return "", errNone
}

// errNone is what a process gets where the kernel has no cgroup v2, and
// errElsewhere one whose cgroup has no path.
var (
	errNone      = errors.New("cgroup v2 is not available: this process is in none")
	errElsewhere = errors.New("the cgroup of this process lies outside of its cgroup namespace")
)

// LeaveInherited takes this process out of the cgroup that its caller was
// confined in, if it is in one that netns-exec, ip-vrf(8) or the hook made.
func LeaveInherited() error {
	current, err := Current()
	// Without the file the kernel has no cgroups at all. One that has no path is
	// left alone: it is not known whose it is.
	if errors.Is(err, errNone) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errElsewhere) {
		return nil
	}
	if err != nil {
		return err
	}
	outer := outer(current)
	if outer == current {
		return nil
	}
	root, err := OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	return root.Join(outer, 0)
}

// LeaveService takes this process, and the process pid if it is not 0, out of
// the service's own cgroup, and removes that if it is empty then. It does
// nothing for a process in any other cgroup, and for a locked one that cannot
// reach its own: it leaves that when it ends.
func LeaveService(service string, pid int) error {
	current, err := Current()
	if err != nil || !IsOfService(current, service) {
		return err
	}
	root, err := OpenRoot()
	if errors.Is(err, errHidden) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	if pid != 0 {
		if err := root.Join(path.Dir(current), pid); err != nil {
			return err
		}
	}
	if err := root.Join(path.Dir(current), 0); err != nil {
		return err
	}
	if err := root.Remove(current); err != nil && !errors.Is(err, unix.EBUSY) {
		return err
	}
	return nil
}

// IDs are the numbers by which the kernel knows a cgroup and all below it, as
// in INET_DIAG_CGROUP_ID of sock_diag(7); none where there is no such cgroup.
// Any thread may call it.
func IDs(cgroup string) ([]uint64, error) {
	root, err := OpenRoot()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	dir, err := root.Open(cgroup)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	var ids []uint64
	err = filepath.WalkDir(fmt.Sprintf("/proc/self/fd/%d/.", dir.fd), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // gone since, or a file of the cgroup
		}
		// The handle of a cgroup is its number (open_by_handle_at(2)).
		handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
		if err == nil && handle.Size() == 8 {
			ids = append(ids, binary.NativeEndian.Uint64(handle.Bytes()))
		}
		return nil
	})
	return ids, err
}
