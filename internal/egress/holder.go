package egress

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/aside"
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
	candidates := s.run.tuns.found[name]
	const most = 16
	for i, t := range candidates {
		if i == most {
			s.missed("who holds %s: it is one of %d", name, len(candidates))
			return nil
		}
		in, err := s.tunIn(ns, t)
		if err != nil {
			s.missed("who holds %s: %v", name, err)
			return nil
		}
		if in {
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
		descriptors, err := files.Descriptors(pid, mostOfOne+1)
		for _, d := range descriptors {
			if d.Target != "/dev/net/tun" || bytes > mostInfo {
				continue
			}
			info, _ := files.Patiently(pid, func() ([]byte, error) { return files.Read(files.Proc(pid) + "/fdinfo/" + strconv.Itoa(d.Number)) })
			bytes += len(info)
			_, after, _ := strings.Cut(string(info), "iff:\t")
			if name, _, held := strings.Cut(after, "\n"); held {
				t.found[name] = append(t.found[name], descriptor{pid, d.Number})
			}
		}
		switch {
		case errors.Is(err, files.ErrStuck):
			t.partly = fmt.Sprintf("process %d keeps waiting who looks at it", pid)
		case bytes > mostInfo:
			t.partly = fmt.Sprintf("process %d has more than %d bytes of locks", pid, mostInfo)
		case len(descriptors) > mostOfOne:
			t.partly = fmt.Sprintf("process %d has more than %d descriptors", pid, mostOfOne)
		}
		if all += len(descriptors); all > mostOfAll {
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
	link := files.NSLink(int(h), "net")
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
	descriptors, _ := files.Descriptors(int(h), mostOfOne+1)
	serves := slices.ContainsFunc(descriptors, func(d files.Descriptor) bool { return links[d.Target] })
	if !serves && (len(descriptors) > mostOfOne || sockets.N == 0) {
		return false, fmt.Errorf("process %d has too many descriptors or sockets around it", h)
	}
	return serves, nil
}

// tunIn reports whether the tun device behind a descriptor of another process is in
// ns: the same name may be in use elsewhere.
//
// What is fetched may be any file by then, and to close one of a FUSE file system is
// to wait for that.
func (s *survey) tunIn(ns *namespace.Namespace, t descriptor) (bool, error) {
	stuck := fmt.Errorf("process %d keeps waiting who looks at it", t.pid)
	if s.run.waited > 2*patience {
		return false, stuck
	}
	text, err := aside.Run(patience, TunCommand, strconv.Itoa(t.pid), strconv.Itoa(t.fd))
	if errors.Is(err, aside.ErrNoAnswer) {
		s.run.waited += patience
		return false, stuck
	}
	if err != nil {
		return false, err
	}
	return text == unknownNetns || text == strconv.FormatUint(ns.Inode(), 10), nil
}

// TunCommand has rc-netns call PrintTun.
const TunCommand = "tun"

// unknownNetns is the answer before Linux 5.12 (TUNGETDEVNETNS): it is taken for
// granted then.
const unknownNetns = "unknown"

// PrintTun prints the inode of the network namespace that the tun device behind a
// descriptor of another process is in, and nothing if it is none. The arguments are
// the numbers of the two.
func PrintTun(args []string) {
	const tunGetDevNetns = 0x54e3 // _IO('T', 227) of linux/if_tun.h
	if len(args) != 2 {
		return
	}
	pid, _ := strconv.Atoi(args[0])
	fd, _ := strconv.Atoi(args[1])
	pidfd, err := unix.PidfdOpen(pid, 0)
	tun := -1
	if err == nil {
		tun, err = unix.PidfdGetfd(pidfd, fd, 0)
	}
	if errors.Is(err, unix.ENOSYS) {
		fmt.Print(unknownNetns)
	}
	if err != nil {
		return
	}
	// It may be another file by now, one that answers when it likes.
	var stat unix.Statx_t
	err = unix.Statx(tun, "", unix.AT_EMPTY_PATH|unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE, &stat)
	if err != nil || stat.Mode&unix.S_IFMT != unix.S_IFCHR || stat.Rdev_major != 10 || stat.Rdev_minor != 200 {
		return
	}
	got, err := unix.IoctlRetInt(tun, tunGetDevNetns)
	switch {
	case errors.Is(err, unix.EINVAL):
		fmt.Print(unknownNetns)
	case err == nil && unix.Statx(got, "", unix.AT_EMPTY_PATH, unix.STATX_INO, &stat) == nil:
		fmt.Print(stat.Ino)
	}
}
