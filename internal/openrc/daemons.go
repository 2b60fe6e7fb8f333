package openrc

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/rcdir"
)

// Daemons are the processes of a service that OpenRC has on record.
type Daemons struct {
	// PIDs are those in the pidfiles that start-stop-daemon or supervise-daemon
	// was given. A process of that number need not exist any more.
	PIDs []int
	// Pidfiles are the paths of these.
	Pidfiles []string
	// Claims are those of PIDs whose pidfile others than root may write.
	Claims []int
	// Child is the daemon that supervise-daemon has started last; 0 if it is
	// not known.
	Child int
	// Lost is set where a pidfile is missing or has no number in it, which
	// OpenRC takes for a crash.
	Lost bool
	// Hidden is set where this user may not read a pidfile, or nobody without
	// waiting for a file system that is not the host's own.
	Hidden bool
	// Recorded is set where the start has left a process, with a pidfile or
	// without.
	Recorded bool
}

// ReadDaemons reads what OpenRC has on record. dpkg's start-stop-daemon records
// nothing. Where a daemon has no pidfile there is nothing to go by: its command
// line, which OpenRC compares then, cannot be read of a process that hangs.
func ReadDaemons(service string) Daemons {
	var d Daemons
	root := "" // of a daemon that start-stop-daemon put into a chroot
	if text, _, err := readLine(0, valuePath(service, "chroot")); err == nil {
		root = text
	}
	dir := filepath.Join(rcdir.State(), "daemons", service)
	entries, _ := files.ReadDir(dir)
	d.Recorded = len(entries) > 0
	for _, entry := range entries {
		text, _ := files.Read(filepath.Join(dir, entry.Name()))
		for line := range bytes.Lines(text) {
			pidfile, found := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "pidfile=")
			if found && pidfile != "" {
				d.add(root + pidfile)
			}
		}
	}
	if text, _, err := readLine(0, valuePath(service, "child_pid")); err == nil {
		if pid, err := strconv.Atoi(text); err == nil && pid > 1 {
			d.Child = pid
		}
	}
	return d
}

func (d *Daemons) add(pidfile string) {
	d.Pidfiles = append(d.Pidfiles, pidfile)
	text, roots, err := readLine(0, pidfile)
	if errors.Is(err, fs.ErrPermission) || errors.As(err, new(*files.WaitsError)) {
		d.Hidden = true
		return
	}
	// As fscanf("%d") reads it.
	text = strings.TrimPrefix(text, "+")
	pid, notNumber := strconv.Atoi(text[:len(text)-len(strings.TrimLeft(text, "0123456789"))])
	if err != nil || notNumber != nil {
		d.Lost = true
		return
	}
	if pid <= 1 {
		return
	}
	d.PIDs = append(d.PIDs, pid)
	if !roots {
		d.Claims = append(d.Claims, pid)
	}
}

// S6Service is the service whose service directory is dir, the working
// directory of an s6-supervise(8); empty if it is not one that OpenRC has made.
// OpenRC calls it by the variable name of the script, which is mostly not set.
func S6Service(dir string) string {
	if filepath.Dir(dir) != filepath.Join(rcdir.State(), "s6-services") {
		return ""
	}
	return filepath.Base(dir)
}

// Same reports whether a process reads the same in the pidfiles as this program. A
// stop reads them in the mounts that the start made.
func (d Daemons) Same(pid int) bool {
	for _, pidfile := range d.Pidfiles {
		here, _, _ := readLine(0, pidfile)
		if there, _, _ := readLine(pid, pidfile); here != there {
			return false
		}
	}
	return true
}

// readLine returns the first line of a short file, without blanks around it, as a
// process sees it (0: this one), and whether root alone writes it. A daemon owns its
// pidfile: it may be anything, and must not hold us up.
func readLine(pid int, path string) (line string, roots bool, err error) {
	view, err := files.OpenView(pid)
	if err != nil {
		return "", false, err
	}
	defer view.Close()
	text, err := view.Read(path, unix.PathMax)
	if err != nil {
		return "", false, err
	}
	line, _, _ = strings.Cut(strings.TrimSpace(string(text)), "\n")
	return strings.TrimSpace(line), view.RootsAlone(), nil
}
