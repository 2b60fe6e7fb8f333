// Package files reads and replaces files without the Go runtime's poller.
//
// os.Open and what builds on it hand each file to the poller, which is started
// for the first one: that costs a launch a thread, four system calls and three
// descriptors, and where the limit on open files leaves no room for these the
// runtime ends the process with a stack trace. What is read here never blocks.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Open is os.Open. The file stays away from the poller, because os.NewFile
// adds none that is in blocking mode. Any thread may call it.
func Open(path string) (*os.File, error) { return open(path, unix.O_RDONLY, 0) }

func open(path string, flags int, mode uint32) (*os.File, error) {
	const attempts = 100 // a FUSE file system may answer EINTR, as os.Open knows
	var fd int
	err := error(unix.EINTR)
	for i := 0; i < attempts && err == unix.EINTR; i++ {
		fd, err = unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, mode)
	}
	if err == nil && flags&unix.O_NONBLOCK != 0 {
		// It has done its work, and os.NewFile takes it for a wish to poll.
		if err = unix.SetNonblock(fd, false); err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// OpenRegular is Open for what has to be a regular file: opening a FIFO, a
// device or a terminal neither hangs nor takes anything over. The error is a
// *fs.PathError.
func OpenRegular(path string) (*os.File, error) {
	other := &fs.PathError{Op: "open", Path: path, Err: errors.New("is not a regular file")}
	var stat unix.Stat_t
	// To open a FIFO, or a device, is seen at its other end.
	if unix.Stat(path, &stat) == nil && !opens(stat.Mode) {
		return nil, other
	}
	f, err := open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENXIO) { // open(2): a socket, or a device that is not there
		return nil, other
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case info.IsDir():
		other.Err = unix.EISDIR
		err = other
	case !info.Mode().IsRegular():
		err = other
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// opens reports whether to open a file of that mode is seen by nobody.
func opens(mode uint32) bool {
	kind := mode & unix.S_IFMT
	return kind == unix.S_IFREG || kind == unix.S_IFDIR
}

// Lock locks an open file (flock(2)). Who else can open it may keep it: the error is
// unix.EWOULDBLOCK after ten seconds.
func Lock(fd int) error {
	for i := 0; ; i++ {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EWOULDBLOCK || i == 200 {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Read reads a regular file, as those of /proc are, of at most 16 MiB. Any thread
// may call it.
func Read(path string) ([]byte, error) {
	const most = 16 << 20
	f, err := OpenRegular(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content := make([]byte, 0, 16384) // most files of /proc are read at once
	for len(content) <= most {
		if len(content) == cap(content) {
			content = append(content, 0)[:len(content)]
		}
		n, err := f.Read(content[len(content):cap(content)])
		content = content[:len(content)+n]
		if err == io.EOF {
			return content, nil
		}
		if err != nil {
			return content, err
		}
	}
	return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("has more than %d bytes", most)}
}

// ReadDir is os.ReadDir. Any thread may call it.
func ReadDir(path string) ([]fs.DirEntry, error) {
	dir, err := open(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, err
}

// Replace writes a file whole, or leaves the one that is there: readers see the
// old content or the new, and after an error nothing new is left behind. Two at
// a time for one path are not safe. Any thread may call it.
func Replace(path string, content []byte, mode fs.FileMode) error {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	f, err := open(temporary, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, uint32(mode.Perm()))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary, path)
	}
	if err != nil {
		_ = os.Remove(temporary)
		return fmt.Errorf("replace %s: %w", path, err)
	}
	return nil
}
