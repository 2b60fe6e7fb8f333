// Package mounts gives a process its own view of /sys, /etc and of the
// host's resolver sockets, to match the network namespace that it is in.
//
// It builds on mount_namespaces(7) and on the mount interface of Linux 5.2
// (open_tree(2), fsopen(2), move_mount(2)): a tree is picked up by descriptor
// before anything is covered, and put down on its new place afterwards, flags
// and all.
package mounts

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
)

// EtcDir holds a directory for each namespace with the files that stand in
// for those of /etc, as in ip-netns(8).
const EtcDir = "/etc/netns"

// RunDir has a directory for each namespace that a service of ours has made.
const RunDir = "/run/openrc-netns"

// resolvConf is the one file there that stands in for one of /etc.
const resolvConf = "resolv.conf"

// ResolvConf is the resolv.conf(5) that the service of a namespace makes where
// it is told of name servers. It counts where EtcDir has none for the
// namespace.
func ResolvConf(name string) string { return filepath.Join(RunDir, name, resolvConf) }

// resolvers are directories with the sockets of name-service daemons. A
// socket in the file system is reached from every network namespace, so the
// C library would hand a query to the host's daemon, which asks outside.
// They are the two places where glibc looks for nscd(8).
var resolvers = [...]string{"/run/nscd", "/var/run/nscd"}

// Bind puts the file or directory Source over Target, both absolute paths.
type Bind struct{ Source, Target string }

// View is what a process is to see, where that is not what its caller sees.
type View struct {
	// Sysfs asks for the /sys of the network namespace that Apply runs in.
	Sysfs bool
	// Binds are made in order.
	Binds []Bind
	// Hide are paths to cover: a directory with an empty, read-only one,
	// anything else with /dev/null.
	Hide []string
	// BestEffort turns Binds that cannot be made into warnings; see Tolerate.
	BestEffort bool
	// Warn is told, in one line, what was tolerated; never nil.
	Warn func(string)
	// Lock makes read-only what belongs to the kernel as a whole: /proc/sys,
	// /sys and the like. It needs Linux 5.12 or later.
	Lock bool
	// NetSysctl excepts /proc/sys/net from Lock.
	NetSysctl bool

	picked []tree // the sources of Binds, by PickUp
}

// Tolerate returns an error of Binds or Hide, or warns of it with BestEffort.
func (v *View) Tolerate(err error) error {
	if err != nil && v.BestEffort {
		v.Warn(err.Error())
		return nil
	}
	return err
}

// EtcBinds lists the binds for the entries of /etc/netns/NAME, none where the
// directory does not exist, and for what ResolvConf names. It is an error if an
// entry's target is missing or not of the same kind, because what the entry was
// to replace would be seen. After an error of EtcEntries there are the binds that
// it has found.
func EtcBinds(name string) ([]Bind, error) {
	binds, err := EtcEntries(name)
	if err != nil {
		return binds, err
	}
	for _, bind := range binds {
		if err := bind.Check(); err != nil {
			return nil, err
		}
	}
	return binds, nil
}

// EtcEntries is EtcBinds without a look at the targets. It returns what it has
// found with an error too, which is a *fs.PathError of what it could not look at.
func EtcEntries(name string) ([]Bind, error) {
	dir := filepath.Join(EtcDir, name)
	entries, err := files.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read the files of the namespace: %w", err)
	}
	var binds []Bind
	own := false
	for _, entry := range entries {
		own = own || entry.Name() == resolvConf
		binds = append(binds, Bind{filepath.Join(dir, entry.Name()), filepath.Join("/etc", entry.Name())})
	}
	if own {
		return binds, nil
	}
	made := ResolvConf(name)
	switch err := unix.Access(made, unix.F_OK); {
	case err == nil:
		binds = append(binds, Bind{made, filepath.Join("/etc", resolvConf)})
	case !isNone(err):
		return binds, fmt.Errorf("read the files of the namespace: %w", &fs.PathError{Op: "look for", Path: made, Err: err})
	}
	return binds, nil
}

// isNone reports whether err, of a look at a path, says that nothing is there
// that any program could open.
func isNone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// Check finds out whether the bind can be made: both have to exist, and to be
// of the same kind.
func (b Bind) Check() error {
	source, err := os.Stat(b.Source)
	if err != nil {
		return fmt.Errorf("cannot bind %q over %q: %w", b.Source, b.Target, err)
	}
	target, err := os.Stat(b.Target)
	if errors.Is(err, fs.ErrNotExist) {
		if link, err := os.Readlink(b.Target); err == nil {
			return fmt.Errorf("cannot bind %q over %q: it is a link to %q, which does not exist; create that file, or remove the link and create %s",
				b.Source, b.Target, link, b.Target)
		}
		if strings.HasPrefix(b.Source, RunDir+"/") {
			return fmt.Errorf("cannot bind %q over %q, which does not exist; create it", b.Source, b.Target)
		}
		return fmt.Errorf("cannot bind %q over %q, which does not exist; create it, or remove %s",
			b.Source, b.Target, b.Source)
	}
	if err != nil {
		return fmt.Errorf("cannot bind %q over %q: %w", b.Source, b.Target, err)
	}
	if !source.IsDir() && !source.Mode().IsRegular() {
		return b.oddSource()
	}
	if source.IsDir() != target.IsDir() {
		return fmt.Errorf("cannot bind %q over %q: one is a directory and the other is not", b.Source, b.Target)
	}
	return nil
}

// oddSource refuses a FIFO, a device or a socket: whatever reads the file that
// it replaces would hang, or read from something that is not a file.
func (b Bind) oddSource() error {
	return fmt.Errorf("cannot bind %q over %q: it is neither a file nor a directory; remove it", b.Source, b.Target)
}

// Hidden lists what to hide: the host's resolver sockets where there are any,
// and the paths in extra, which have to pass CheckHidden. After an error it is
// what could be looked at.
func Hidden(extra []string) ([]string, error) {
	var hide []string
	var seen os.FileInfo
	var failed error
	for _, dir := range resolvers {
		info, err := os.Stat(dir)
		if err != nil && !isNone(err) {
			failed = fmt.Errorf("look for the host's resolvers: %w", err)
		}
		if err != nil || !info.IsDir() || seen != nil && os.SameFile(info, seen) {
			continue // /var/run is mostly a link to /run
		}
		seen = info
		hide = append(hide, dir)
	}
	for _, path := range extra {
		err := CheckHidden(path)
		if err == nil {
			hide = append(hide, path)
		} else if failed == nil {
			failed = err
		}
	}
	return hide, failed
}

// CheckHidden finds out whether a path can be hidden: it has to be absolute and
// to exist.
func CheckHidden(path string) error {
	if !filepath.IsAbs(path) {
		return fmt.Errorf("cannot hide %q: give an absolute path", path)
	}
	file, err := files.OpenFirm(path)
	if err != nil {
		return fmt.Errorf("cannot hide %q: %w", path, errors.Unwrap(err))
	}
	return file.Close()
}

// Empty reports whether the View asks for nothing.
func (v *View) Empty() bool { return !v.Sysfs && len(v.Binds) == 0 && len(v.Hide) == 0 && !v.Lock }

// PickUp opens the sources of Binds in the mount namespace of the calling
// thread: Apply binds these, whatever has their names then. It changes nothing
// that others see. It needs CAP_SYS_ADMIN.
func (v *View) PickUp() error {
	for _, bind := range v.Binds {
		t, err := bind.pickUp()
		if err == nil {
			v.picked = append(v.picked, t)
		} else if err := v.Tolerate(err); err != nil {
			return err
		}
	}
	return nil
}

func (b Bind) pickUp() (tree, error) {
	t, err := pickUp(b.Source, b.Target)
	if err != nil {
		return tree{}, err
	}
	var stat unix.Stat_t
	if err := unix.Fstat(t.fd, &stat); err != nil {
		unix.Close(t.fd)
		return tree{}, fmt.Errorf("bind %q over %q: %w", b.Source, b.Target, err)
	}
	if kind := stat.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		unix.Close(t.fd)
		return tree{}, b.oddSource()
	}
	return t, nil
}

// LetGo undoes PickUp.
func (v *View) LetGo() {
	for _, t := range v.picked {
		unix.Close(t.fd)
	}
	v.picked = nil
}

// Apply moves the calling thread into a mount namespace of its own and builds
// the view there, with what PickUp opened. It needs CAP_SYS_ADMIN and a locked
// thread, which is already in the network namespace that /sys is to show.
// Nothing that it mounts is seen outside; what the host mounts later arrives
// inside where the host shares its mounts. Where the kernel forbids a new
// sysfs, as it does in some containers, the old view of /sys stays and Warn is
// told.
//
// A View that asks for nothing leaves the thread in its mount namespace. After
// an error the thread is somewhere in between: exit, and the kernel takes it
// all down.
func (v *View) Apply() error {
	if v.Empty() {
		return nil
	}
	var cwd string
	if v.Lock {
		cwd, _ = unix.Getwd()
	}
	var below string // the working directory, if it is below /sys
	if v.Sysfs {
		var err error
		if below, err = workingDirectoryBelowSys(); err != nil {
			return err
		}
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("create a mount namespace: %w", err)
	}
	err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, "")
	if errors.Is(err, unix.EINVAL) {
		return errors.New(`cannot keep mounts apart from the host's: "/" is not a mount point, as in a chroot; bind it onto itself before chroot: mount --rbind DIR DIR`)
	}
	if err != nil {
		return fmt.Errorf("keep mounts apart from the host's: %w", err)
	}
	if v.Sysfs {
		if err := newSysfs(v.Warn); err != nil {
			return err
		}
	}
	for _, t := range v.picked {
		err := t.bind()
		unix.Close(t.fd)
		if err := v.Tolerate(err); err != nil {
			return err
		}
	}
	v.picked = nil
	for _, path := range v.Hide {
		if err := hide(path); err != nil {
			return err
		}
	}
	if below != "" {
		if err := unix.Chdir(below); err != nil {
			return fmt.Errorf("working directory %q in the namespace's /sys: %w", below, err)
		}
	}
	if !v.Lock {
		return nil
	}
	if err := v.lockKernel(); err != nil {
		return err
	}
	if err := leaveOuterTree(); err != nil {
		return err
	}
	return comeBack(cwd)
}

// workingDirectoryBelowSys returns the working directory if it has to be
// entered again when /sys is replaced; else "".
func workingDirectoryBelowSys() (string, error) {
	directory, err := unix.Getwd()
	if err == nil {
		if directory == "/sys" || strings.HasPrefix(directory, "/sys/") {
			return directory, nil
		}
		return "", nil
	}
	// It was removed, or is out of reach. Nothing can replace one of the old
	// sysfs.
	var fs unix.Statfs_t
	if stat := unix.Statfs(".", &fs); stat != nil {
		return "", fmt.Errorf("look at the working directory: %w", stat)
	}
	if fs.Type == unix.SYSFS_MAGIC {
		return "", fmt.Errorf("the working directory is in the host's /sys and cannot be found in the namespace's (%w): start from another one", err)
	}
	return "", nil
}

var errOldKernel = errors.New("this kernel has no open_tree(2) or fsopen(2): Linux 5.2 or later is needed")

// tree is a mount with all below it, detached until it is put down.
type tree struct {
	fd     int
	source string
	target string
}

func pickUp(source, target string) (tree, error) {
	fd, err := unix.OpenTree(unix.AT_FDCWD, source,
		unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if errors.Is(err, unix.ENOSYS) {
		return tree{}, errOldKernel
	}
	if err != nil {
		return tree{}, fmt.Errorf("bind %q over %q: %w", source, target, err)
	}
	return tree{fd, source, target}, nil
}

// putDown ends with the descriptor closed.
func (t tree) putDown() error {
	defer unix.Close(t.fd)
	return t.attach()
}

func (t tree) attach() error {
	err := unix.MoveMount(t.fd, "", unix.AT_FDCWD, t.target,
		unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_SYMLINKS)
	if err != nil {
		return fmt.Errorf("bind %q over %q: %w", t.source, t.target, err)
	}
	return nil
}

// bind attaches the tree, apart from where it was picked up, which is shared
// with the host. Where the target is a symbolic link, what it leads to is
// covered, and the link too: the host may then replace the former, as
// resolvconf(8) does, and the bind stays, which goes with what it is on. A
// kernel that covers no link leaves it at the first.
func (t tree) bind() error {
	var target unix.Stat_t
	if err := unix.Lstat(t.target, &target); err != nil {
		return fmt.Errorf("look at %q: %w", t.target, err)
	}
	link := target.Mode&unix.S_IFMT == unix.S_IFLNK
	if err := t.attach(); err != nil {
		return err
	}
	if err := unix.Mount("", t.target, "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("keep %q apart from the host's: %w", t.target, err)
	}
	if !link {
		return nil
	}
	again, err := pickUp(t.target, t.target)
	if err != nil {
		return err
	}
	defer unix.Close(again.fd)
	_ = unix.MoveMount(again.fd, "", unix.AT_FDCWD, t.target, unix.MOVE_MOUNT_F_EMPTY_PATH)
	return nil
}

func hide(path string) error {
	file, err := files.OpenFirm(path)
	if err != nil {
		return fmt.Errorf("hide %q: %w", path, errors.Unwrap(err))
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("hide %q: %w", path, errors.Unwrap(err))
	}
	at := fmt.Sprintf("/proc/self/fd/%d", file.Fd())
	if !info.IsDir() {
		null, err := pickUp("/dev/null", at)
		if err != nil {
			return err
		}
		return null.putDown()
	}
	err = unix.Mount("none", at, "tmpfs",
		unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "size=4k,mode=0555")
	if err != nil {
		return fmt.Errorf("hide %q: %w", path, err)
	}
	return nil
}
