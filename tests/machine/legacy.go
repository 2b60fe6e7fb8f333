package machine

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// legacyName is of a hierarchy of cgroup v1 that nobody else has.
func legacyName() string { return fmt.Sprintf("machine-%08x", rand.Uint32()) }

// mountLegacy mounts a hierarchy of cgroup v1 without controllers in the same
// way, and makes it where there is none of that name. Only the cgroup namespace
// of the whole system can do that.
func mountLegacy(name string) (root *os.File, err error) {
	context, err := unix.Fsopen("cgroup", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, err
	}
	defer unix.Close(context)
	if err := errors.Join(unix.FsconfigSetFlag(context, "none"), unix.FsconfigSetString(context, "name", name)); err != nil {
		return nil, err
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return nil, err
	}
	fd, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// forgetLegacy has the kernel forget a hierarchy that nobody has mounted any
// more. It does so some time after an unmount, if by then it has let go of the
// cgroups that were in it. Where it stays, one unmount more is tried.
func forgetLegacy(name string) error {
	const tries, looks = 60, 50
	for range tries {
		for range looks {
			table, err := os.ReadFile("/proc/self/cgroup")
			if err != nil || !strings.Contains(string(table), ":name="+name+":") {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		if root, err := mountLegacy(name); err == nil {
			root.Close()
		}
	}
	return fmt.Errorf("remove cgroup v1 %s: it stays", name)
}
