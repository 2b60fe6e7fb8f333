package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// Vacant reports whether a network namespace can get the name that Open could not
// open for the reason err: nothing is there, or the empty file of one that went
// without being deleted by its name.
func Vacant(err error) bool {
	var stale *StaleError
	if errors.As(err, &stale) {
		info, err := os.Stat(stale.Path)
		return err == nil && info.Size() == 0
	}
	return errors.As(err, new(*NotExistError))
}

// SetName gives n a name, which has to be vacant, as ip-netns(8) attach does. It
// needs CAP_SYS_ADMIN.
func (n *Namespace) SetName(name string) error {
	unlock, err := shareDir()
	if err != nil {
		return err
	}
	defer unlock()
	path := filepath.Join(Dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale file of network namespace %q: %w", name, err)
	}
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
	if err != nil {
		return err
	}
	file.Close()
	if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", n.handle), path, "", unix.MS_BIND, ""); err != nil {
		_ = os.Remove(path)
		return fmt.Errorf("mount it: %w", err)
	}
	return nil
}

// shareDir makes Dir a shared mount point, so that a name that goes
// there goes in every mount namespace that has a copy. It is locked, as
// ip-netns(8) does, against others who do the same; but everybody can lock it, and
// nobody does that for ten seconds to do the same.
func shareDir() (unlock func(), err error) {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.OpenFile(Dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	unlock = func() { dir.Close() }
	if err = files.Lock(int(dir.Fd())); err != nil && err != unix.EWOULDBLOCK {
		unlock()
		return nil, fmt.Errorf("lock %s: %w", Dir, err)
	}
	share := func() error { return unix.Mount("", Dir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err = share()
	if errors.Is(err, unix.EINVAL) { // no mount point yet (mount(2))
		if err = unix.Mount(Dir, Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("make %s a shared mount point: %w", Dir, err)
	}
	return unlock, nil
}
