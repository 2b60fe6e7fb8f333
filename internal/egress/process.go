package egress

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// lookAtProcess reads what the process would ask the kernel with: its user,
// which rules can go by, and its nameservers.
func (s *survey) lookAtProcess() error {
	status, err := files.Read(fmt.Sprintf("/proc/%d/status", s.subject.PID))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "Uid:" { // real, effective
			if uid, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
				s.uid = uint32(uid)
			}
		}
	}
	view, err := files.OpenView(s.subject.PID)
	if err != nil {
		return err
	}
	defer view.Close()
	if s.nameservers, err = nameservers(view); err != nil {
		s.missed("the nameservers: %v", err)
	}
	for _, path := range hostSockets {
		found, err := view.IsSocket(path)
		switch {
		case found:
			s.report.Sockets = append(s.report.Sockets, path)
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR):
			s.partial = true
			s.missed("a socket of a name service: %v", err)
		}
	}
	return nil
}

// hostSockets are those that the name service switch of the C library talks to:
// nscd(8), nss-resolve(8) and nss-mdns.
var hostSockets = []string{
	"/run/nscd/socket", "/var/run/nscd/socket", "/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket",
}

// nameservers are those of resolv.conf(5), and what stands for one and is no
// address; none where there is no such file.
func nameservers(view *files.View) ([]string, error) {
	const (
		most  = 3 // MAXNS of resolv.h
		limit = 64 << 10
	)
	text, err := view.Read("/etc/resolv.conf", limit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" && len(found) < most {
			found = append(found, fields[1])
		}
	}
	return found, err
}
