package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
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
}

// ValuePath is where service_set_value (openrc-run(8)) would put a value of
// service.
func ValuePath(service, value string) string {
	return filepath.Join(svcdir(), "options", service, value)
}

// svcdir is where OpenRC keeps its state.
func svcdir() string {
	if dir := os.Getenv("RC_SVCDIR"); dir != "" {
		return dir
	}
	return "/run/openrc"
}

// recordValue is the name of a record among a service's values.
const recordValue = "netns"

// WriteRecord keeps r for service, in one step: a reader finds the old record or
// the new. Undo puts back what was there, for a start that fails later on. After
// an error all is as it was.
func WriteRecord(service string, r Record) (undo func(), err error) {
	path := ValuePath(service, recordValue)
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
	lines := fmt.Sprintf("%d\n%d\n%s\n%s\n", r.ID.Inode, r.ID.Cookie, r.Cgroup, r.Netns)
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
	path := ValuePath(service, recordValue)
	lines, err := files.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the service was started: %w", err)
	}
	var r Record
	fields := strings.Split(string(lines), "\n")
	if len(fields) == 5 {
		_, err = fmt.Sscan(fields[0]+" "+fields[1], &r.ID.Inode, &r.ID.Cookie)
		r.Cgroup, r.Netns = fields[2], fields[3]
	}
	if len(fields) != 5 || err != nil {
		return nil, fmt.Errorf("cannot tell where the service was started: %s is damaged", path)
	}
	return &r, nil
}

// find opens the recorded namespace, and returns nil if it is gone.
func (r *Record) find() *namespace.Namespace {
	if r.Netns == "" {
		return r.ID.Find(namespace.Host)
	}
	return r.ID.Find(r.Netns)
}

// here reports whether the calling thread is in the recorded namespace.
func (r *Record) here() bool {
	ns, err := namespace.Current()
	if err != nil {
		return false
	}
	defer ns.Close()
	return r.ID == namespace.ID{Inode: ns.Inode(), Cookie: namespace.CurrentCookie()}
}
