package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/files"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/rcdir"
)

// Record says where a service was started. It is kept among the values of
// service_set_value (openrc-run(8)), which OpenRC drops when the service is
// marked as stopped, and which do not outlive a boot.
type Record struct {
	// ID is the network namespace.
	ID namespace.ID
	// Cgroup is the one that binds the service's sockets, as in
	// /proc/PID/cgroup; empty if none does.
	Cgroup string
	// Netns is the setting at start; empty if the namespace is the host's.
	Netns string
	// Mounts is the mount namespace with the private view that the start made;
	// zero if it made none.
	Mounts mounts.ID
	// View are the settings that the view was made with, as Settings.viewLine
	// has them.
	View string
}

// valuePath is where service_set_value (openrc-run(8)) would put a value of
// service.
func valuePath(service, value string) string {
	return filepath.Join(rcdir.State(), "options", service, value)
}

// recordValue is the name of a record among a service's values.
const recordValue = "netns"

// write keeps r for service, in one step: a reader finds the old record or the
// new. Undo puts back what was there, for a start that fails later on. After an
// error all is as it was.
func (r Record) write(service string) (undo func(), err error) {
	path := valuePath(service, recordValue)
	before, err := files.Read(path)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, fmt.Errorf("record where the service is started: %w", err)
	}
	dir := filepath.Dir(path)
	made := os.Mkdir(dir, 0o755) == nil
	undo = func() {
		if missing {
			_ = os.Remove(path)
		} else {
			_ = files.Replace(path, before, 0o644)
		}
		if made {
			_ = os.Remove(dir)
		}
	}
	lines := fmt.Sprintf("%d\n%d\n%s\n%s\n%d\n%d\n%s\n", r.ID.Inode, r.ID.Cookie, r.Cgroup, r.Netns, r.Mounts.Inode, r.Mounts.Number, r.View)
	err = os.MkdirAll(dir, 0o755)
	if err == nil {
		err = files.Replace(path, []byte(lines), 0o644)
	}
	if err != nil {
		if made {
			_ = os.Remove(dir)
		}
		return nil, fmt.Errorf("record where the service is started: %w", err)
	}
	return undo, nil
}

// ReadRecord returns what was kept for service; nil where there is nothing.
func ReadRecord(service string) (*Record, error) {
	path := valuePath(service, recordValue)
	lines, err := files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the service was started: %w", err)
	}
	var r Record
	fields := strings.Split(string(lines), "\n")
	const old, all = 5, 8 // with the empty one after the last; once there was no mount namespace in it
	if len(fields) == old {
		fields = slices.Insert(fields, old-1, "0", "0", "")
	}
	if len(fields) == all {
		_, err = fmt.Sscan(strings.Join([]string{fields[0], fields[1], fields[4], fields[5]}, " "),
			&r.ID.Inode, &r.ID.Cookie, &r.Mounts.Inode, &r.Mounts.Number)
		r.Cgroup, r.Netns, r.View = fields[2], fields[3], fields[6]
	}
	if len(fields) != all || err != nil || fields[all-1] != "" {
		return nil, fmt.Errorf("cannot tell where the service was started: %s is damaged", path)
	}
	return &r, nil
}

// AsSet reports whether the start was made with the same network namespace, and
// with the same settings of what a start makes of it, but for a VRF: these are
// not on record.
func (r *Record) AsSet(s Settings) bool { return r.Netns == s.Netns && r.View == s.viewLine() }

// Lock waits until nobody else repairs the service of that name, who would call
// this too. It is an error if the service has no record.
//
// What is locked is a file that root alone can open, because who can open one can
// lock it (flock(2)). OpenRC removes it with the record.
func Lock(service string) (unlock func(), err error) {
	if _, err := os.Lstat(valuePath(service, recordValue)); err != nil {
		return nil, err
	}
	path := valuePath(service, "netns_repair")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
	if err == nil {
		err = files.Lock(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { unix.Close(fd) }, nil
}

// find opens the recorded namespace, and returns nil if it is gone.
func (r *Record) find() *namespace.Namespace {
	if r.Netns == "" {
		return r.ID.Find(namespace.Host)
	}
	return r.ID.Find(r.Netns)
}

// here reports whether the calling thread is where the start was: in its
// network namespace, its mount namespace and its cgroup.
func (r *Record) here() bool {
	if view, err := mounts.CurrentID(); err != nil || r.Mounts != (mounts.ID{}) && view != r.Mounts {
		return false
	}
	if current, err := cgroup.Current(); r.Cgroup != "" && (err != nil || current != r.Cgroup && !strings.HasPrefix(current, r.Cgroup+"/")) {
		return false
	}
	ns, err := namespace.Current()
	if err != nil {
		return false
	}
	defer ns.Close()
	cookie, err := namespace.CurrentCookie()
	return err == nil && r.ID == namespace.ID{Inode: ns.Inode(), Cookie: cookie}
}

// view opens the mount namespace that the start made, if a process of the
// service lives in it. It is nil where none does, and where this process has
// another root directory than process 1, because there the root of a mount
// namespace is not that of who runs in it.
func (r *Record) view(service string) *mounts.Namespace {
	if r.Mounts == (mounts.ID{}) || !mounts.AtRoot() {
		return nil
	}
	return r.findView(service)
}

func (r *Record) findView(service string) *mounts.Namespace {
	recorded := ReadDaemons(service)
	candidates := append(recorded.PIDs, recorded.Child)
	if r.Mounts.Number == 0 {
		// Its inode may now be another's. It counts only for a process that
		// OpenRC has on record for the service, in the service's network
		// namespace.
		network := fmt.Sprintf("net:[%d]", r.ID.Inode)
		return r.Mounts.Find(slices.DeleteFunc(candidates, func(pid int) bool { return files.NSLink(pid, "net") != network }))
	}
	if ns := r.Mounts.Find(candidates); ns != nil {
		return ns
	}
	var pids []int
	link := fmt.Sprintf("mnt:[%d]", r.Mounts.Inode)
	processes, _ := files.ReadDir("/proc")
	for _, process := range processes {
		if pid, err := strconv.Atoi(process.Name()); err == nil && files.NSLink(pid, "mnt") == link {
			pids = append(pids, pid)
		}
	}
	return r.Mounts.Find(pids)
}

// Holds reports whether a process is one of the service for certain: it is in the
// mount namespace that the start made, where nobody is put, and in the network
// namespace or the cgroup of the service.
func (r *Record) Holds(service string, pid int) bool {
	if r.Mounts == (mounts.ID{}) {
		return false
	}
	ns := r.Mounts.Find([]int{pid})
	if ns == nil {
		return false
	}
	ns.Close()
	if files.NSLink(pid, "net") == fmt.Sprintf("net:[%d]", r.ID.Inode) {
		return true
	}
	at, err := cgroup.Of(pid)
	return err == nil && (r.Cgroup != "" && at == r.Cgroup || cgroup.IsOfService(at, service))
}
