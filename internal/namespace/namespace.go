// Package namespace opens, checks and enters network namespaces.
//
// A namespace is opened once; everything after that, the checks and setns(2)
// itself, works on that one descriptor, so that no path is looked at twice.
//
// Namespaces belong to threads. Enter and Current act on the calling thread
// alone: the caller locks its goroutine to the thread (runtime.LockOSThread)
// before the first call and never unlocks it, because a thread that has
// changed its namespace must not serve other goroutines.
package namespace

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/shell"
)

// Dir is where ip-netns(8) keeps named namespaces.
const Dir = "/run/netns"

// Host is the network namespace of process 1, where a service is that asks for
// no other.
const Host = "/proc/1/ns/net"

// dirs are searched in order; on a system whose /var/run is no link to /run,
// an older iproute2 put the names into the second.
var dirs = [...]string{Dir, "/var/run/netns"}

// maxName is NAME_MAX of linux/limits.h, in bytes.
const maxName = 255

// NotExistError says that there is no network namespace of that name.
type NotExistError struct {
	// Name is what was asked for: a name in Dir, or an absolute path.
	Name string
}

func (e *NotExistError) Error() string {
	if filepath.IsAbs(e.Name) {
		return fmt.Sprintf("network namespace %q does not exist", e.Name)
	}
	return fmt.Sprintf("network namespace %q does not exist; create it with: %s", e.Name, typed(CreateCommand(e.Name)))
}

// typed is what to type for commands.
func typed(commands ...[]string) string {
	var lines []string
	for _, command := range commands {
		var words []string
		for _, word := range command {
			words = append(words, shell.Quote(word))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return strings.Join(lines, " && ")
}

// StaleError says that of a namespace in Dir only an ordinary file is left:
// the mount went, the file stayed.
type StaleError struct {
	// Name is the name in Dir, Path the file.
	Name, Path string
}

func (e *StaleError) Error() string {
	return fmt.Sprintf("network namespace %q is stale: %s is an ordinary file; remove it with: rm %s",
		e.Name, e.Path, shell.Quote(e.Path))
}

// ip-netns(8) creates the file first and then the namespace, and removes the
// namespace first and then the file. These say for how long an ordinary file in
// Dir may still become a namespace, and how often, at which interval, it is
// looked at before it counts as stale. (A number of looks, because on a busy
// machine all of this takes longer.)
const (
	young = time.Second
	looks = 30
	pause = 10 * time.Millisecond
)

// HostError says that a namespace which must not be the host's own is just
// that.
type HostError struct{ Name string }

func (e *HostError) Error() string {
	if base := BaseName(e.Name); base != "" {
		return fmt.Sprintf("network namespace %q is the host's own; delete the name with: %s; or write %s, if that is meant",
			e.Name, typed(DeleteCommands(base)...), Host)
	}
	return fmt.Sprintf("network namespace %q is the host's own; name another one, or write %s, if that is meant", e.Name, Host)
}

// MeansHost reports whether a setting asks for the host's namespace: it is
// empty, or Host.
func MeansHost(name string) bool { return name == "" || name == Host }

// Namespace is an open network namespace, or the promise of a fresh one.
type Namespace struct {
	name   string
	path   string
	handle netns.NsHandle
	inode  uint64
}

// Open opens the network namespace called name: a name in Dir, or an absolute
// path such as /proc/1234/ns/net. The error is a *NotExistError where there is
// no such namespace, a *StaleError where only its file is left. Any thread may
// call it.
func Open(name string) (*Namespace, error) { return openName(name, true) }

// Look is Open for who only looks, and looks again before he says anything: it does
// not wait for somebody who may be making or deleting the name.
func Look(name string) (*Namespace, error) { return openName(name, false) }

func openName(name string, patient bool) (*Namespace, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	if filepath.IsAbs(name) {
		return openPath(name, name)
	}
	for _, dir := range dirs {
		ns, err := openPath(name, filepath.Join(dir, name))
		if patient && errors.As(err, new(*StaleError)) {
			ns, err = openLater(name, filepath.Join(dir, name))
		}
		if _, missing := err.(*NotExistError); !missing {
			return ns, err
		}
	}
	return nil, &NotExistError{name}
}

// openLater opens a namespace whose name leads to an ordinary file. The file is
// stale, and the advice to remove it sound, only if nobody is about to mount a
// namespace there or to remove the file: if it is old and does not change for a
// while.
func openLater(name, path string) (*Namespace, error) {
	const patience = 10 * time.Second // reached only if the name keeps changing
	var last unix.Stat_t
	same := 0
	for begin := time.Now(); ; time.Sleep(pause) {
		var stat unix.Stat_t
		_ = unix.Lstat(path, &stat)
		ns, err := openPath(name, path)
		if !errors.As(err, new(*StaleError)) {
			return ns, err
		}
		if same++; stat.Ino != last.Ino || stat.Ctim != last.Ctim {
			last, same = stat, 0
		}
		now := time.Now()
		age := now.Sub(time.Unix(stat.Ctim.Unix()))
		switch {
		case same >= looks && (age < 0 || age >= young):
			return nil, err
		case same < looks && now.Sub(begin) >= patience:
			return nil, fmt.Errorf("network namespace %q keeps being created and deleted", name)
		}
	}
}

// CheckName refuses what cannot name a network namespace: ip-netns(8) accepts
// one path component, we accept an absolute path as well.
func CheckName(name string) error {
	bad := func(why string) error {
		return fmt.Errorf("bad network namespace name %q: %s", name, why)
	}
	switch {
	case name == "":
		return bad("it is empty")
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return bad("it has a control character")
	case filepath.IsAbs(name):
		return nil
	case name == "." || name == "..":
		return bad("it is a directory")
	case strings.Contains(name, "/"):
		return bad("give a name without a slash, or an absolute path")
	case len(name) > maxName:
		return fmt.Errorf("bad network namespace name %q...: it has %d bytes, the limit is %d",
			name[:16], len(name), maxName)
	}
	return nil
}

// openPath opens what may be anything, without waiting for anybody, and without being
// seen at the other end of a FIFO. A name in Dir may be a link: to the namespace of a
// process, or to a file that lies where nobody keeps root waiting.
func openPath(name, path string) (*Namespace, error) {
	at, flags := path, 0
	if BaseName(path) != "" {
		target, err := os.Readlink(path)
		switch {
		case err != nil:
			flags = unix.O_NOFOLLOW
		case isProcess(target):
			at = target
		default:
			file, err := files.OpenNear(path)
			if err != nil {
				return nil, named(name, err)
			}
			defer file.Close()
			at = fmt.Sprintf("/proc/self/fd/%d", file.Fd())
		}
	}
	var stat unix.Stat_t
	if !isProcess(at) && unix.Stat(at, &stat) == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG && stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil, fmt.Errorf("%q is not a network namespace", path)
	}
	fd, err := files.OpenNS(at, flags)
	if err != nil {
		return nil, named(name, err)
	}
	ns := &Namespace{name: name, path: path, handle: netns.NsHandle(fd)}
	if err := ns.check(); err != nil {
		ns.Close()
		return nil, err
	}
	return ns, nil
}

// named is the error of openPath.
func named(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return &NotExistError{name}
	}
	return fmt.Errorf("open %s: %w", (&Namespace{name: name}).words(), err)
}

// isProcess reports whether a path is that of the network namespace of a process or a
// thread.
func isProcess(path string) bool {
	rest, proc := strings.CutPrefix(path, "/proc/")
	rest, net := strings.CutSuffix(rest, "/ns/net")
	pid, task, _ := strings.Cut(rest, "/task/")
	return proc && net && (strings.Trim(pid+task, "0123456789") == "" || rest == "self" || rest == "thread-self")
}

// check tells a network namespace from everything else that can be opened,
// by the file system's magic number and NS_GET_NSTYPE (ioctl_ns(2)).
func (n *Namespace) check() error {
	fd := int(n.handle)
	var fsStat unix.Statfs_t
	if err := unix.Fstatfs(fd, &fsStat); err != nil {
		return fmt.Errorf("open %s: %w", n.words(), err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("open %s: %w", n.words(), err)
	}
	if fsStat.Type != unix.NSFS_MAGIC {
		if stat.Mode&unix.S_IFMT == unix.S_IFREG && n.name != n.path {
			return &StaleError{n.name, n.path}
		}
		return fmt.Errorf("%q is not a network namespace", n.path)
	}
	kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
	if err == unix.ENOTTY {
		kind, err = n.kind()
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", n.words(), err)
	}
	if kind != unix.CLONE_NEWNET {
		return fmt.Errorf("%q is a namespace of another type, not a network namespace", n.path)
	}
	n.inode = stat.Ino
	return nil
}

// kind is NS_GET_NSTYPE where the kernel has none for this program: kernels of
// 64 bits have long kept it from programs of 32 (no compat_ioctl in fs/nsfs.c).
// setns(2) enters a network namespace and no other; a thread tries it, and ends.
// Who may enter none is not told, and gets no further than the name.
func (n *Namespace) kind() (int, error) {
	tried := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		tried <- netns.Set(n.handle)
	}()
	switch err := <-tried; err {
	case nil, unix.EPERM:
		return unix.CLONE_NEWNET, nil
	case unix.EINVAL:
		return 0, nil
	default:
		return 0, err
	}
}

// Names lists the names of network namespaces in order: everything in Dir,
// stale or not.
func Names() []string {
	var names []string
	for _, dir := range dirs {
		entries, _ := files.ReadDir(dir)
		for _, entry := range entries {
			names = append(names, entry.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Fresh returns a namespace that does not exist yet: Enter makes it, empty
// and with its loopback down, and it goes with the last process in it.
func Fresh() *Namespace {
	return &Namespace{name: "", path: "", handle: netns.None()}
}

// IsFresh reports whether n is what Fresh returns.
func (n *Namespace) IsFresh() bool { return !n.handle.IsOpen() }

// Name is what the namespace was opened as; empty for the current or a fresh
// one.
func (n *Namespace) Name() string { return n.name }

// Inode is the namespace's inode number on nsfs, as in the "net:[4026531840]"
// of /proc/PID/ns/net; 0 for a fresh one. The kernel may give the number to
// another namespace when this one is gone, the cookie never.
func (n *Namespace) Inode() uint64 { return n.inode }

// FD is the open descriptor, which Close closes.
func (n *Namespace) FD() int { return int(n.handle) }

// current is the network namespace of the calling thread, where /proc is
// mounted and of the PID namespace that the thread is in.
const current = "/proc/thread-self/ns/net"

// Current opens the network namespace that the calling thread is in.
func Current() (*Namespace, error) {
	ns, err := openPath("", current)
	if errors.As(err, new(*NotExistError)) {
		return nil, errNoProc
	}
	return ns, err
}

var errNoProc = errors.New("cannot find the current network namespace: mount the /proc of this PID namespace")

// String is for people: the name, and the inode where it is known.
func (n *Namespace) String() string {
	if n.IsFresh() {
		return "a new, empty network namespace"
	}
	if n.name == "" {
		return fmt.Sprintf("the caller's (net:[%d])", n.inode)
	}
	if n.name == Host {
		return fmt.Sprintf("the host's (net:[%d])", n.inode)
	}
	return fmt.Sprintf("%s (%s, net:[%d])", n.name, n.path, n.inode)
}

// words name the namespace in an error.
func (n *Namespace) words() string {
	if n.name == "" {
		return "the current network namespace"
	}
	return fmt.Sprintf("network namespace %q", n.name)
}

// Close closes the descriptor. The thread stays where Enter took it.
func (n *Namespace) Close() {
	if n.handle.IsOpen() {
		n.handle.Close()
	}
}

// isCurrent reports whether the calling thread is in the namespace already.
func (n *Namespace) isCurrent() (bool, error) {
	if n.IsFresh() {
		return false, nil
	}
	// While n is open, no other namespace has its inode.
	var own, there unix.Stat_t
	err := unix.Fstat(int(n.handle), &own)
	if err == nil {
		err = unix.Stat(current, &there)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, errNoProc
	}
	if err != nil {
		return false, fmt.Errorf("find the current network namespace: %w", err)
	}
	return own.Dev == there.Dev && own.Ino == there.Ino, nil
}

// IsNamed reports whether the path by which the namespace was opened leads to
// it through the same mount, and so has done all the time.
func (n *Namespace) IsNamed() bool {
	const mask = unix.STATX_INO | unix.STATX_MNT_ID | unix.STATX_MNT_ID_UNIQUE // Linux 5.8 and 6.8; else 0
	var own, there unix.Statx_t
	if unix.Statx(int(n.handle), "", unix.AT_EMPTY_PATH, mask, &own) != nil ||
		unix.Statx(unix.AT_FDCWD, n.path, 0, mask, &there) != nil {
		return false
	}
	return own.Dev_major == there.Dev_major && own.Dev_minor == there.Dev_minor && own.Ino == there.Ino &&
		own.Mnt_id == there.Mnt_id
}

// Enter moves the calling thread into the namespace, and makes sure by its
// inode that it is there. It needs CAP_SYS_ADMIN (setns(2), unshare(2)). The
// caller has locked the thread.
func (n *Namespace) Enter() error {
	if n.IsFresh() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("create a network namespace: %w", err)
		}
		return nil
	}
	if err := netns.Set(n.handle); err != nil {
		return fmt.Errorf("enter %s: %w", n.words(), err)
	}
	inside, err := n.isCurrent()
	if err != nil {
		return err
	}
	if !inside {
		return fmt.Errorf("enter %s: the kernel left this process outside", n.words())
	}
	return nil
}

// CurrentCookie returns the number that the kernel gave to the calling
// thread's network namespace and will give to no other before a reboot
// (SO_NETNS_COOKIE of linux/socket.h, Linux 5.14); 0 where the kernel has none.
func CurrentCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("make a socket to ask which network namespace this is: %w", err)
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err == unix.ENOPROTOOPT {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask which network namespace this is: %w", err)
	}
	return cookie, nil
}

// Do calls f inside the namespace, on a thread of its own: the caller's stays
// where it is. It needs what Enter needs.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		err := n.Enter()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// Cookie is CurrentCookie of the namespace. It moves the calling thread, which
// the caller has locked, there and back. If the thread cannot come back it must
// end: the error then wraps ErrAstray.
func (n *Namespace) Cookie() (uint64, error) {
	back, err := Current()
	if err != nil {
		return 0, err
	}
	defer back.Close()
	if err := n.Enter(); err != nil {
		return 0, err
	}
	cookie, err := CurrentCookie()
	if err := back.Enter(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrAstray, err)
	}
	return cookie, err
}

// ErrAstray says that the calling thread was not brought back to the network
// namespace that it came from.
var ErrAstray = errors.New("lost between network namespaces")

// ID tells a network namespace from every other one of this boot, whatever it
// is called.
type ID struct {
	Inode  uint64 // as of Namespace.Inode
	Cookie uint64 // as of CurrentCookie; 0 on a kernel that has none
}

// ID is the namespace's. It needs what Enter needs.
func (n *Namespace) ID() (ID, error) {
	cookie, err := n.Cookie()
	return ID{n.inode, cookie}, err
}

// Find opens the namespace: by the given name if that leads to it, by another
// name, or through a process that lives in it; Name of the result says which.
// It returns nil if the namespace is gone.
func (id ID) Find(name string) *Namespace {
	if ns := id.open(name); ns != nil {
		return ns
	}
	names, _ := files.ReadDir(Dir)
	for _, name := range names {
		if ns := id.open(name.Name()); ns != nil {
			return ns
		}
	}
	// Of a process the link alone tells the inode; few have to be opened.
	link := fmt.Sprintf("net:[%d]", id.Inode)
	processes, _ := files.ReadDir("/proc")
	for _, process := range processes {
		pid, err := strconv.Atoi(process.Name())
		if err != nil {
			continue
		}
		if files.NSLink(pid, "net") != link {
			continue
		}
		path := files.Proc(pid) + "/ns/net"
		if ns := id.open(path); ns != nil {
			return ns
		}
	}
	return nil
}

// open opens the namespace called name if it is the one.
func (id ID) open(name string) *Namespace {
	ns, err := Look(name)
	if err != nil {
		return nil
	}
	if !id.Is(ns) {
		ns.Close()
		return nil
	}
	return ns
}

// Is reports whether ns is the one.
func (id ID) Is(ns *Namespace) bool {
	if ns.inode != id.Inode {
		return false
	}
	cookie, err := ns.Cookie()
	return err == nil && cookie == id.Cookie
}

// BaseName is the name in Dir that name stands for: itself, or the last part
// of an absolute path into Dir; empty for any other path. It chooses the
// directory below /etc/netns.
func BaseName(name string) string {
	if !filepath.IsAbs(name) {
		return name
	}
	for _, dir := range dirs {
		if filepath.Dir(filepath.Clean(name)) == dir {
			return filepath.Base(name)
		}
	}
	return ""
}
