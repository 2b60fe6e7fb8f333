// Package rcnetns asks rc-netns(8), which is installed beside the calling
// program, what that does not know by itself: most launches do without, and
// those that do not wait for what comes with reading conf.d or with an audit.
package rcnetns

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/inherited"
)

const name = "rc-netns"

// Ask runs a command of rc-netns and returns what it prints; the error is what
// it says itself where it fails. It runs in the caller's namespaces and with
// its environment.
func Ask(command string, args ...string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(self), name)
	// A file in memory and no pipe: nobody has to wait for its end, whoever
	// holds it open, and it takes one descriptor where the limit may leave room
	// for few.
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return "", fmt.Errorf("memfd_create: %w", err)
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	pid, err := syscall.ForkExec(program, append([]string{program, command}, args...), &syscall.ProcAttr{
		Env: inherited.Environ(), Files: []uintptr{uintptr(unix.Stdin), uintptr(fd), uintptr(fd)},
	})
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w, install openrc-netns again", program, err)
	}
	var state unix.WaitStatus
	waitErr := error(unix.EINTR)
	for waitErr == unix.EINTR {
		_, waitErr = unix.Wait4(pid, &state, 0, nil)
	}
	output, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<20))
	switch {
	case err != nil:
		return "", err
	case waitErr != nil:
		return "", waitErr
	case state != 0:
		text := strings.TrimPrefix(strings.TrimSuffix(string(output), "\n"), name+": ")
		if text = strings.TrimPrefix(text, command+": "); text == "" {
			text = fmt.Sprintf("%s failed, wait status %#x", program, uint32(state))
		}
		return "", errors.New(text)
	}
	return string(output), nil
}
