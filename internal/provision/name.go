package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
)

// stale reports whether there is such a file under the name.
func stale(name string) bool {
	_, err := namespace.Open(name)
	return errors.As(err, new(*namespace.StaleError)) && namespace.Vacant(err)
}

// create makes a network namespace and names it. Inside it, before anything has the
// name, begin is called: what a crash leaves is then on record.
func create(name string, begin func() error) error {
	return namespace.Fresh().Do(func() error {
		if err := begin(); err != nil {
			return err
		}
		ns, err := namespace.Current()
		if err == nil {
			defer ns.Close()
			err = ns.SetName(name)
		}
		if err != nil {
			return fmt.Errorf("create network namespace %q: %w", name, err)
		}
		return nil
	})
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
