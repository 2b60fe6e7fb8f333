package vrf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// IDs are the numbers by which the kernel knows a cgroup, a path as in
// /proc/PID/cgroup, and all below it, as in INET_DIAG_CGROUP_ID of sock_diag(7);
// none where there is no such cgroup. Any thread may call it.
func IDs(cgroup string) ([]uint64, error) {
	h, err := openHierarchy()
	if err != nil {
		return nil, err
	}
	defer h.close()
	dir, err := h.open(cgroup)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer unix.Close(dir)
	var ids []uint64
	err = filepath.WalkDir(fmt.Sprintf("/proc/self/fd/%d/.", dir), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return nil // it went meanwhile, or is a file of the cgroup
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
