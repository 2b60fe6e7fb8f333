package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/namespace"
)

// holder is the process that holds a tun interface, and whose own network its
// packets leave by.
type holder int

// findHolder returns nil where nobody is found.
func (s *survey) findHolder(ns *namespace.Namespace, name string) *holder {
	if s.run.tuns == nil {
		s.run.tuns = findTuns()
	}
	for _, t := range s.run.tuns.found[name] {
		if tunIn(ns, t.pid, t.fd) {
			found := holder(t.pid)
			return &found
		}
	}
	if why := s.run.tuns.partly; why != "" {
		s.missed("who holds %s: %s", name, why)
	}
	return nil
}

// tuns are the descriptors of tun devices, by the names of these; several may
// have one name, in several namespaces.
type tuns struct {
	found  map[string][]descriptor
	partly string // why these may not be all; empty if they are
}

type descriptor struct{ pid, fd int }

// Limits of descriptors that are looked at. What holds a tunnel has few.
const (
	mostOfOne = 1_024
	mostOfAll = 200_000
	mostInfo  = 256 << 10 // bytes that the kernel tells of those of one process
)

// descriptors calls each with the numbers of descriptors of a process and what
// they are, and returns how many there are: not more than mostOfOne, or one more.
func descriptors(pid int, each func(fd, target string)) int {
	dir, err := files.Open(files.Proc(pid) + "/fd")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(mostOfOne + 1)
	target := make([]byte, 64) // enough for what is looked for
	for _, name := range names[:min(len(names), mostOfOne)] {
		if n, err := unix.Readlinkat(int(dir.Fd()), name, target); err == nil {
			each(name, string(target[:n]))
		}
	}
	return len(names)
}

// findTuns looks at every process, once for everybody.
func findTuns() *tuns {
	t := &tuns{found: map[string][]descriptor{}}
	processes, _ := files.ReadDir("/proc")
	all := 0
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		bytes := 0
		count := descriptors(pid, func(fd, target string) {
			if target != "/dev/net/tun" || bytes > mostInfo {
				return
			}
			info, _ := files.Read(files.Proc(pid) + "/fdinfo/" + fd)
			bytes += len(info)
			_, after, _ := strings.Cut(string(info), "iff:\t")
			if name, _, held := strings.Cut(after, "\n"); held {
				number, _ := strconv.Atoi(fd)
				t.found[name] = append(t.found[name], descriptor{pid, number})
			}
		})
		switch {
		case bytes > mostInfo:
			t.partly = fmt.Sprintf("process %d has more than %d bytes of locks", pid, mostInfo)
		case count > mostOfOne:
			t.partly = fmt.Sprintf("process %d has more than %d descriptors", pid, mostOfOne)
		}
		if all += count; all > mostOfAll {
			t.partly = fmt.Sprintf("all processes together have more than %d descriptors", mostOfAll)
			break
		}
	}
	return t
}

func (h holder) netns() string { return files.Proc(int(h)) + "/ns/net" }

// words are which process it is, and where its packets leave.
func (h holder) words(ns *namespace.Namespace) string {
	comm, _ := files.Read(fmt.Sprintf("/proc/%d/comm", h))
	where := "in a network namespace of its own"
	link, _ := os.Readlink(h.netns())
	host, _ := os.Readlink(namespace.Host)
	switch {
	case link == host:
		where = "on the host's network"
	case link == fmt.Sprintf("net:[%d]", ns.Inode()):
		where = "in the same namespace"
	}
	return fmt.Sprintf("of process %d (%s) %s", h, strings.TrimSpace(string(comm)), where)
}

// serves reports whether it has the socket that answers for the WireGuard
// interface of that name: there is one for a name, in whatever namespaces
// interfaces have it.
func (h holder) serves(name string) (bool, error) {
	const most = 4 << 20
	dir := files.Proc(int(h)) + "/"
	file, err := files.Open(dir + "net/unix")
	if err != nil {
		return false, err
	}
	defer file.Close()
	links := map[string]bool{}
	sockets := io.LimitedReader{R: file, N: most}
	for lines := bufio.NewScanner(&sockets); lines.Scan(); {
		// Num RefCount Protocol Flags Type St Inode Path
		if fields := strings.Fields(lines.Text()); len(fields) == 8 && strings.HasSuffix(fields[7], "/wireguard/"+name+".sock") {
			links["socket:["+fields[6]+"]"] = true
		}
	}
	serves := false
	count := descriptors(int(h), func(_, target string) { serves = serves || links[target] })
	if !serves && (count > mostOfOne || sockets.N == 0) {
		return false, fmt.Errorf("process %d has too many descriptors or sockets around it", h)
	}
	return serves, nil
}

// tunIn reports whether the tun device behind a descriptor of another process
// is in ns: the same name may be in use elsewhere. Before Linux 5.12
// (TUNGETDEVNETNS) it is taken for granted.
func tunIn(ns *namespace.Namespace, pid, fd int) bool {
	const tunGetDevNetns = 0x54e3 // _IO('T', 227) of linux/if_tun.h
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return errors.Is(err, unix.ENOSYS)
	}
	defer unix.Close(pidfd)
	tun, err := unix.PidfdGetfd(pidfd, fd, 0)
	if err != nil {
		return errors.Is(err, unix.ENOSYS)
	}
	defer unix.Close(tun)
	// It may be another file by now, one that answers when it likes.
	var stat unix.Statx_t
	err = unix.Statx(tun, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &stat)
	if err != nil || stat.Mode&unix.S_IFMT != unix.S_IFCHR || stat.Rdev_major != 10 || stat.Rdev_minor != 200 {
		return false
	}
	got, err := unix.IoctlRetInt(tun, tunGetDevNetns)
	if err != nil {
		return true
	}
	defer unix.Close(got)
	return unix.Statx(got, "", unix.AT_EMPTY_PATH, unix.STATX_INO, &stat) == nil && stat.Ino == ns.Inode()
}
