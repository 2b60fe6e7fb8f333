package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// process is what /proc tells of a process. Nothing that is read of
// it waits for the process: stat, cgroup and the link to the namespace are
// answered for one that hangs as well, which cmdline is not.
type process struct {
	pid, parent int
	name        string
	terminal    bool   // it has a controlling terminal
	inode       uint64 // of its network namespace; 0 where that cannot be seen
	mounts      uint64 // of its mount namespace; the same
	cgroups     []byte // the content of /proc/PID/cgroup
	cgroup      string // the one of version 2; empty if it is in none
	lost        bool   // its cgroup has a path that the kernel does not tell (PATH_MAX)
	start       string // when it was started, by the clock of the kernel
}

// readProcesses reads all processes but this one, kernel threads and zombies, and
// counts those that keep waiting who reads of them, or are in a cgroup that the
// kernel does not tell. Any thread may call it.
func readProcesses() (processes map[int]*process, stuck int, err error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, 0, fmt.Errorf("read the processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, 0, fmt.Errorf("read the processes: %w", err)
	}
	processes = map[int]*process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := readProcess(pid)
		if p != nil {
			processes[pid] = p
		}
		if err != nil || p != nil && p.lost {
			stuck++
		}
	}
	untangle(processes)
	return processes, stuck, nil
}

// untangle leaves each process descended from none of its children. They are read
// one after the other, and with numbers that are given again two can each have
// been the parent of the other.
func untangle(processes map[int]*process) {
	seen := map[int]int{} // by which walk
	for walk := range processes {
		for p := processes[walk]; p != nil && seen[p.pid] == 0; p = processes[p.parent] {
			seen[p.pid] = walk
			if seen[p.parent] == walk {
				p.parent = 0
			}
		}
	}
}

// readProcess returns nil for a process that is gone, as good as gone, or the
// kernel's. The error is files.ErrStuck.
func readProcess(pid int) (*process, error) {
	return files.Patiently(pid, func() (*process, error) { return askProcess(pid), nil })
}

func askProcess(pid int) *process {
	dir := "/proc/" + strconv.Itoa(pid) + "/"
	stat, err := files.Read(dir + "stat")
	if err != nil {
		return nil
	}
	p := &process{pid: pid}
	// The name stands in parentheses and may have some in it
	// (proc_pid_stat(5)).
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open {
		return nil
	}
	p.name = string(stat[open+1 : end])
	fields := strings.Fields(string(stat[end+1:]))
	const (
		state, ppid, tty, flags, threads, start = 0, 1, 4, 6, 17, 19

		kernelThread = 0x00200000 // PF_KTHREAD of linux/sched.h
	)
	if len(fields) <= start {
		return nil
	}
	if dead := fields[state] == "Z" || fields[state] == "X"; dead && fields[threads] == "1" {
		return nil
	}
	if bits, err := strconv.ParseUint(fields[flags], 10, 64); err != nil || bits&kernelThread != 0 {
		return nil
	}
	p.parent, _ = strconv.Atoi(fields[ppid])
	p.terminal = fields[tty] != "0"
	p.start = fields[start]
	if p.inode, err = inodeOf(dir + "ns/net"); errors.Is(err, unix.ENOENT) {
		// The first thread has ended, or is about to.
		dir = files.Proc(pid) + "/"
		p.inode, err = inodeOf(dir + "ns/net")
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	cgroups, err := files.Read(dir + "cgroup")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	p.lost = err != nil
	p.cgroups = bytes.Clone(cgroups) // and not the kilobytes that were read into
	for line := range bytes.Lines(p.cgroups) {
		if path, v2 := bytes.CutPrefix(line, []byte("0::")); v2 {
			p.cgroup = string(bytes.TrimSuffix(path, []byte("\n")))
		}
	}
	p.mounts, err = inodeOf(dir + "ns/mnt")
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return nil
	}
	return p
}

// Lives reports whether p is still there, and not another process of that
// number.
func (p Process) Lives() bool {
	now, _ := readProcess(p.PID)
	return now != nil && now.start == p.start
}

// inodeOf is the number in a link such as net:[4026531840].
func inodeOf(path string) (uint64, error) {
	link, err := os.Readlink(path)
	if err != nil {
		return 0, err
	}
	_, number, _ := strings.Cut(link, "[")
	return strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
}

// userOf is the real user of a process, whom its owner in /proc may not be
// (PR_SET_DUMPABLE); -1 if that cannot be told.
func userOf(pid int) int {
	file, err := files.Open("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return -1
	}
	defer file.Close()
	status := make([]byte, 1024) // of which groups take 700,000, behind
	n, _ := io.ReadFull(file, status)
	status = status[:n]
	_, rest, _ := strings.Cut(string(status), "\nUid:\t")
	uid, _, _ := strings.Cut(rest, "\t")
	number, err := strconv.Atoi(uid)
	if err != nil {
		return -1
	}
	return number
}
