package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// missing reports whether err, of namespace.Open, says that there is room for a
// namespace of that name: nothing is there, or the empty file of one that went
// without being deleted by its name.
func missing(err error) bool {
	var stale *namespace.StaleError
	if errors.As(err, &stale) {
		info, err := os.Stat(stale.Path)
		return err == nil && info.Size() == 0
	}
	return errors.As(err, new(*namespace.NotExistError))
}

// Makes reports whether Up would make the namespace that namespace.Open could
// not open for the reason err. A stale file with something in it is left alone.
func Makes(err error) bool { return missing(err) }

// stale reports whether there is such a file under the name.
func stale(name string) bool {
	_, err := namespace.Open(name)
	return errors.As(err, new(*namespace.StaleError)) && missing(err)
}

// create makes a network namespace and names it, as ip-netns(8) does. Inside
// it, before anything has the name, begin is called: what a crash leaves is
// then on record.
func create(name string, begin func() error) error {
	unlock, err := shareDir()
	if err != nil {
		return fmt.Errorf("create network namespace %q: %w", name, err)
	}
	defer unlock()
	path := filepath.Join(namespace.Dir, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the stale file of network namespace %q: %w", name, err)
	}
	return namespace.Fresh().Do(func() error {
		if err := begin(); err != nil {
			return err
		}
		file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0)
		if err != nil {
			return fmt.Errorf("create network namespace %q: %w", name, err)
		}
		file.Close()
		if err := unix.Mount("/proc/thread-self/ns/net", path, "", unix.MS_BIND, ""); err != nil {
			_ = os.Remove(path)
			return fmt.Errorf("create network namespace %q: mount it: %w", name, err)
		}
		return nil
	})
}

// shareDir makes namespace.Dir a shared mount point, so that a name that goes
// there goes in every mount namespace that has a copy. It is locked, as
// ip-netns(8) does, against others who do the same; but everybody can lock it, and
// nobody does that for ten seconds to do the same.
func shareDir() (unlock func(), err error) {
	if err := os.MkdirAll(namespace.Dir, 0o755); err != nil {
		return nil, err
	}
	dir, err := os.Open(namespace.Dir)
	if err != nil {
		return nil, err
	}
	unlock = func() { dir.Close() }
	locked := func() error { return unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
	err = locked()
	for i := 0; i < 200 && err == unix.EWOULDBLOCK; i++ {
		time.Sleep(50 * time.Millisecond)
		err = locked()
	}
	if err != nil && err != unix.EWOULDBLOCK {
		unlock()
		return nil, fmt.Errorf("lock %s: %w", namespace.Dir, err)
	}
	share := func() error { return unix.Mount("", namespace.Dir, "none", unix.MS_SHARED|unix.MS_REC, "") }
	err = share()
	if errors.Is(err, unix.EINVAL) { // no mount point yet (mount(2))
		if err = unix.Mount(namespace.Dir, namespace.Dir, "none", unix.MS_BIND|unix.MS_REC, ""); err == nil {
			err = share()
		}
	}
	if err != nil {
		unlock()
		return nil, fmt.Errorf("make %s a shared mount point: %w", namespace.Dir, err)
	}
	return unlock, nil
}

// remove takes the name away; the namespace goes with the last process in it.
func remove(name string) error {
	path := filepath.Join(namespace.Dir, name)
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("delete network namespace %q: unmount it: %w", name, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("delete network namespace %q: %w", name, err)
	}
	return nil
}
