package torture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What a process is, looked at from outside while it waits.

// netInode is the inode of the network namespace of a process.
func netInode(pid int) (uint64, error) { return inodeOf(fmt.Sprintf("/proc/%d/ns/net", pid)) }

// readSmall reads a file of at most a page without the poller.
func readSmall(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	var b [4096]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

// etcToken is what a process sees in a file of /etc.
func etcToken(pid int, name string) string {
	path := fmt.Sprintf("/proc/%d/root/etc/%s", pid, name)
	var stat unix.Stat_t
	if err := unix.Stat(path, &stat); err != nil {
		return "error: " + err.Error()
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFREG {
		return fmt.Sprintf("no regular file, but mode %o", stat.Mode)
	}
	text, err := readSmall(path)
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}

// sysShows reports whether the /sys of a process shows the device.
func sysShows(pid int, device string) bool {
	return unix.Access(fmt.Sprintf("/proc/%d/root/sys/class/net/%s", pid, device), unix.F_OK) == nil
}

// halfView says what of the view of a process inside n is not what it has to
// be; empty if nothing is.
func halfView(pid int, mark string) string {
	root := fmt.Sprintf("/proc/%d/root", pid)
	switch {
	case !sysShows(pid, mark):
		return "/sys does not show the devices of its network namespace"
	case unix.Access(root+cgroupRoot+"/cgroup.procs", unix.F_OK) != nil:
		return "what was mounted below /sys is lost"
	case unix.Access(root+"/run/nscd/socket", unix.F_OK) == nil:
		return "the host's nscd is in sight"
	}
	return ""
}

// statusFields are those of /proc/PID/status that a launch is to leave as they
// were, or to change as asked.
var statusFields = []string{"Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs"}

// portrait is all that can be told of a process from outside, a line for each
// thing. The calling thread may be in a room where /proc is another one: a
// thread of the machine looks.
func portrait(pid int) (lines []string, err error) {
	done := make(chan struct{})
	go func() {
		lines, err = look(pid)
		close(done)
	}()
	<-done
	return lines, err
}

func look(pid int) ([]string, error) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	inode, err := netInode(pid)
	if err != nil {
		return nil, err
	}
	add("net %d", inode)
	for _, name := range tokenFiles {
		add("/etc/%s %q", name, etcToken(pid, name))
	}
	own, _ := os.Readlink("/proc/self/ns/mnt")
	mnt, _ := os.Readlink(dir + "ns/mnt")
	add("own mounts %t", own != mnt)
	add("/sys shows in-host %t", sysShows(pid, "in-host"))
	for _, n := range pool {
		add("/sys shows %s %t", n.mark, sysShows(pid, n.mark))
	}
	add("cgroups in sight %t", unix.Access(dir+"root"+cgroupRoot+"/cgroup.procs", unix.F_OK) == nil)
	add("nscd in sight %t", unix.Access(dir+"root/run/nscd/socket", unix.F_OK) == nil)
	add("the machine's mounts %t", unix.Access(dir+"root/run/away/mark", unix.F_OK) == nil)
	for _, link := range []string{"cwd", "root", "exe", "ns/pid", "ns/user", "ns/uts", "ns/ipc", "ns/cgroup"} {
		to, _ := os.Readlink(dir + link)
		add("%s %s", link, to)
	}
	status, err := os.ReadFile(dir + "status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains(statusFields, name) {
			add("%s", strings.TrimSpace(line))
		}
	}
	for _, name := range []string{"environ", "cmdline", "limits", "oom_score_adj", "cgroup"} {
		text, err := os.ReadFile(dir + name)
		if err != nil {
			return nil, err
		}
		if name == "cgroup" { // others make hierarchies of cgroup v1, and remove them
			text = regexp.MustCompile(`(?m)^[0-9]+:name=.*\n`).ReplaceAll(text, nil)
		}
		add("%s %q", name, text)
	}
	fds, _ := os.ReadDir(dir + "fd")
	for _, fd := range fds {
		to, _ := os.Readlink(dir + "fd/" + fd.Name())
		add("fd %s %s", fd.Name(), to)
	}
	cgroup, err := cgroupOf(strconv.Itoa(pid))
	if err != nil {
		return nil, err
	}
	confined, err := confines(cgroup)
	if err != nil {
		return nil, err
	}
	add("confined %t", confined)
	nice, _ := unix.Getpriority(unix.PRIO_PROCESS, pid)
	add("nice %d", nice)
	return lines, nil
}

// unlike lists the lines of one portrait that another one has not.
func unlike(a, b []string) []string {
	var lines []string
	for _, line := range a {
		if !slices.Contains(b, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// confines reports whether a program is on the cgroup, or on one above it and
// below that of the run.
func confines(cgroup string) (bool, error) {
	for ; strings.HasPrefix(cgroup, "/"); cgroup = cgroup[:strings.LastIndexByte(cgroup, '/')] {
		fd, err := unix.Open(cgroupRoot+cgroup, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		query := struct {
			target, attachType, queryFlags, attachFlags uint32
			ids                                         uint64
			count                                       uint32
		}{target: uint32(fd), attachType: unix.BPF_CGROUP_INET_SOCK_CREATE}
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&query)), unsafe.Sizeof(query))
		unix.Close(fd)
		if errno != 0 {
			return false, fmt.Errorf("list the programs on cgroup %s: %w", cgroup, errno)
		}
		if query.count > 0 {
			return true, nil
		}
	}
	return false, nil
}

// cgroupsBelow lists the cgroups below a directory.
func cgroupsBelow(dir string) []string {
	var found []string
	entries, _ := os.ReadDir(dir)
	for _, entry := range entries {
		if entry.IsDir() {
			path := dir + "/" + entry.Name()
			found = append(found, path)
			found = append(found, cgroupsBelow(path)...)
		}
	}
	return found
}

// inherited are the lines of a portrait that the kind of launch has to leave as
// they are.
func inherited(kind string, lines []string) []string {
	user, lock := strings.Contains(kind, "user"), strings.Contains(kind, "lock")
	var kept []string
	for _, line := range lines {
		word, _, _ := strings.Cut(line, " ")
		word, _, _ = strings.Cut(word, ":")
		switch word {
		case "net", "own", "/sys", "cgroups", "nscd", "confined", "cgroup", "/etc/resolv.conf", "/etc/hosts":
			continue
		case "Uid", "Gid", "Groups", "CapPrm", "CapEff":
			if user {
				continue
			}
		case "environ":
			if user {
				continue // of which HOME and others were asked for
			}
			line = withoutOurs(line)
		}
		if lock && strings.HasPrefix(word, "Cap") {
			continue
		}
		kept = append(kept, line)
	}
	return kept
}

// withoutOurs takes out of an environment what the hook and the drop-in tell
// each other.
func withoutOurs(line string) string {
	text, err := strconv.Unquote(strings.TrimPrefix(line, "environ "))
	if err != nil {
		return line
	}
	entries := strings.Split(text, "\x00")
	entries = slices.DeleteFunc(entries, func(e string) bool { return strings.HasPrefix(e, "OPENRC_NETNS_") })
	return fmt.Sprintf("environ %q", strings.Join(entries, "\x00"))
}
