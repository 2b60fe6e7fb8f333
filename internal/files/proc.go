package files

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Proc is the directory of proc(5) in which a process, of which it has the number,
// is to be seen: its own or, where its first thread has ended, that of a thread
// that lives. Any thread may call it.
func Proc(pid int) string {
	own := "/proc/" + strconv.Itoa(pid)
	if lives(pid, own) {
		return own
	}
	tasks, _ := ReadDir(own + "/task")
	for _, task := range tasks {
		if dir := "/proc/" + task.Name(); lives(pid, dir) {
			return dir
		}
	}
	return own
}

func lives(pid int, dir string) bool {
	_, err := readNS(dir, pid, "net")
	return !errors.Is(err, fs.ErrNotExist)
}

func readNS(dir string, pid int, name string) (string, error) {
	return Patiently(pid, func() (string, error) { return os.Readlink(dir + "/ns/" + name) })
}

// NSLink is what the link in /proc/PID/ns of that name says, such as
// net:[4026531840]; empty if it cannot be read.
func NSLink(pid int, name string) string {
	link, err := readNS("/proc/"+strconv.Itoa(pid), pid, name)
	if errors.Is(err, fs.ErrNotExist) {
		link, _ = readNS(Proc(pid), pid, name)
	}
	return link
}

// OpenNS opens a namespace, of which the path may be that of a process, with flags of
// open(2) besides.
func OpenNS(path string, flags int) (fd int, err error) {
	// O_NONBLOCK and O_NOCTTY: whatever has come there since, a FIFO or a
	// terminal, opening it must neither hang nor take anything over.
	open := func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY|flags, 0)
	}
	rest, _ := strings.CutPrefix(path, "/proc/")
	number, _, _ := strings.Cut(rest, "/")
	pid, err := strconv.Atoi(number)
	if err != nil || pid <= 1 {
		return open()
	}
	return Patiently(pid, open)
}

// Descriptor is one of a process, and what it is open on: at most 64 bytes of that.
type Descriptor struct {
	Number int
	Target string
}

// Descriptors are those of a process, of at most so many as most says.
func Descriptors(pid, most int) ([]Descriptor, error) {
	return Patiently(pid, func() (found []Descriptor, err error) {
		dir, err := Open(Proc(pid) + "/fd")
		if err != nil {
			return nil, err
		}
		defer dir.Close()
		names, _ := dir.Readdirnames(most)
		target := make([]byte, 64)
		for _, name := range names {
			n, err := unix.Readlinkat(int(dir.Fd()), name, target)
			if number, odd := strconv.Atoi(name); err == nil && odd == nil {
				found = append(found, Descriptor{number, string(target[:n])})
			}
		}
		return found, nil
	})
}

// ErrStuck says that the kernel keeps those waiting who ask about a process.
var ErrStuck = errors.New("the process keeps waiting who looks at it")

// stuck are those that Patiently has met.
var stuck = struct {
	sync.Mutex
	pids map[int]bool
	next time.Duration // how long the next one is waited for
}{pids: map[int]bool{}, next: 2 * time.Second}

// Patiently returns what f does, which asks the kernel about a process. It may keep
// f waiting: while the process is in an execve(2), and its descriptors do not let
// themselves be closed (seqfile and links of proc(5) take exec_update_lock). f goes
// on on a thread that is left behind then, and the error is ErrStuck. All of them
// together are waited for for four seconds, and a little each; where there are too many,
// nobody is asked about any more.
func Patiently[V any](pid int, f func() (V, error)) (V, error) {
	var none V
	const most, atAll = 64, 128 // threads
	stuck.Lock()
	patience, many, tooMany := stuck.next, len(stuck.pids) >= most, len(stuck.pids) >= atAll
	stuck.Unlock()
	if tooMany {
		return none, ErrStuck
	}
	if Stuck(pid) || many && sleepsDeep(pid) {
		return none, markStuck(pid)
	}
	type answer struct {
		value V
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := f()
		done <- answer{value, err}
	}()
	// Without a timer of Go's: it takes two descriptors, which a launch may not have.
	const often = 1000
	for until, n := time.Now().Add(patience), 0; ; n++ {
		select {
		case a := <-done:
			return a.value, a.err
		default:
		}
		switch {
		case n < often:
			runtime.Gosched()
		case time.Now().After(until):
			return none, markStuck(pid)
		default:
			pause := unix.NsecToTimespec(int64(time.Millisecond))
			_ = unix.Nanosleep(&pause, nil)
		}
	}
}

// Stuck reports whether a process was met that keeps those waiting who ask about it.
func Stuck(pid int) bool {
	stuck.Lock()
	defer stuck.Unlock()
	return stuck.pids[pid]
}

func markStuck(pid int) error {
	stuck.Lock()
	defer stuck.Unlock()
	if !stuck.pids[pid] {
		stuck.pids[pid] = true
		stuck.next = max(stuck.next/2, 5*time.Millisecond)
	}
	return ErrStuck
}

// sleepsDeep reports whether a process is in the state D, of which status tells
// without waiting.
func sleepsDeep(pid int) bool {
	status, err := Read("/proc/" + strconv.Itoa(pid) + "/status")
	return err == nil && bytes.Contains(status, []byte("\nState:\tD"))
}
