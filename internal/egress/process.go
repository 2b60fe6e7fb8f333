package egress

import (
	"fmt"
	"io"
	"os"
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
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", s.subject.PID), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	s.nameservers = nameservers(root)
	for _, path := range hostSockets {
		if isSocket(root, path) {
			s.report.Sockets = append(s.report.Sockets, "/"+path)
		}
	}
	return nil
}

// hostSockets are those that the name service switch of the C library talks to:
// nscd(8), nss-resolve(8) and nss-mdns.
var hostSockets = []string{
	"run/nscd/socket", "var/run/nscd/socket", "run/systemd/resolve/io.systemd.Resolve", "run/avahi-daemon/socket",
}

// nameservers are those of resolv.conf(5) below root; none where it cannot be
// read.
func nameservers(root int) []string {
	fd, err := unix.Openat2(root, "etc/resolv.conf", &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT,
	})
	if err != nil {
		return nil
	}
	file := os.NewFile(uintptr(fd), "resolv.conf")
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil
	}
	const most = 3 // MAXNS of resolv.h
	text, _ := io.ReadAll(io.LimitReader(file, 1<<20))
	var found []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "nameserver" && len(found) < most {
			found = append(found, fields[1])
		}
	}
	return found
}

// isSocket reports whether path leads to a socket below root, opening nothing.
func isSocket(root int, path string) bool {
	fd, err := unix.Openat2(root, path, &unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	return unix.Fstat(fd, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFSOCK
}
