package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"openrc-netns/internal/namespace"
)

// Record says where a service was started. It is kept among the values of
// service_set_value (openrc-run(8)), which OpenRC drops when the service is
// marked as stopped, and which do not outlive a boot.
type Record struct {
	// Inode and Cookie identify the network namespace; Cookie is 0 on a kernel
	// that has none.
	Inode, Cookie uint64
	// Cgroup is the one that binds the service's sockets, as in
	// /proc/PID/cgroup; empty if none does.
	Cgroup string
	// Netns is the setting at start; empty if the namespace is the host's.
	Netns string
}

// recordPath is where service_set_value would put the value "netns".
func recordPath(service string) string {
	svcdir := os.Getenv("RC_SVCDIR")
	if svcdir == "" {
		svcdir = "/run/openrc"
	}
	return filepath.Join(svcdir, "options", service, "netns")
}

// WriteRecord keeps r for service.
func WriteRecord(service string, r Record) error {
	path := recordPath(service)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("record where the service is started: %w", err)
	}
	lines := fmt.Sprintf("%d\n%d\n%s\n%s\n", r.Inode, r.Cookie, r.Cgroup, r.Netns)
	if err := os.WriteFile(path, []byte(lines), 0o644); err != nil {
		return fmt.Errorf("record where the service is started: %w", err)
	}
	return nil
}

// ReadRecord returns what was kept for service; nil where there is nothing.
func ReadRecord(service string) (*Record, error) {
	path := recordPath(service)
	lines, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read where the service was started: %w", err)
	}
	var r Record
	fields := strings.Split(string(lines), "\n")
	if len(fields) == 5 {
		_, err = fmt.Sscan(fields[0]+" "+fields[1], &r.Inode, &r.Cookie)
		r.Cgroup, r.Netns = fields[2], fields[3]
	}
	if len(fields) != 5 || err != nil {
		return nil, fmt.Errorf("read where the service was started: %s is damaged", path)
	}
	return &r, nil
}

// find opens the recorded namespace: by its name if that still leads to it,
// by another name, or through a process that lives in it. It returns nil if
// the namespace is gone.
func (r *Record) find() *namespace.Namespace {
	name := r.Netns
	if name == "" {
		name = namespace.Host
	}
	if ns := r.open(name); ns != nil {
		return ns
	}
	names, _ := filepath.Glob(namespace.Dir + "/*")
	for _, name := range names {
		if ns := r.open(name); ns != nil {
			return ns
		}
	}
	// Of a process the link alone tells the inode; few have to be opened.
	link := "net:[" + strconv.FormatUint(r.Inode, 10) + "]"
	processes, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	for _, process := range processes {
		if shown, err := os.Readlink(process); err != nil || shown != link {
			continue
		}
		if ns := r.open(process); ns != nil {
			return ns
		}
	}
	return nil
}

// here reports whether the calling thread is in the recorded namespace.
func (r *Record) here() bool {
	ns, err := namespace.Current()
	if err != nil {
		return false
	}
	defer ns.Close()
	return ns.Inode() == r.Inode && namespace.CurrentCookie() == r.Cookie
}

// open opens the namespace called name if it is the recorded one.
func (r *Record) open(name string) *namespace.Namespace {
	ns, err := namespace.Open(name)
	if err != nil {
		return nil
	}
	if !r.matches(ns) {
		ns.Close()
		return nil
	}
	return ns
}

func (r *Record) matches(ns *namespace.Namespace) bool {
	if ns.Inode() != r.Inode {
		return false
	}
	cookie, err := ns.Cookie()
	return err == nil && (cookie == r.Cookie || cookie == 0 || r.Cookie == 0)
}
