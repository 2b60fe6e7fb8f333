package launch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// CommandError says that the command cannot be executed. It wraps the
// system's error: fs.ErrNotExist where there is no such command.
type CommandError struct {
	Command string
	Err     error
}

func (e *CommandError) Error() string {
	if e.Err == errNotInPath {
		return fmt.Sprintf("command %q: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("cannot execute %q: %v", e.Command, e.Err)
}

func (e *CommandError) Unwrap() error { return e.Err }

// defaultPath is searched where PATH is unset or empty, as by execvp(3).
const defaultPath = "/bin:/usr/bin"

type notInPath struct{}

func (notInPath) Error() string        { return "not found in PATH" }
func (notInPath) Is(target error) bool { return target == fs.ErrNotExist }

var errNotInPath error = notInPath{}

// lookPath finds the file that execvp(3) would execute for command: one that
// may not be executed is skipped, and is the reason given if none is found. The
// error is a *CommandError.
func lookPath(command, path string) (string, error) {
	if strings.Contains(command, "/") {
		if err := executable(command); err != nil {
			return "", &CommandError{command, err}
		}
		return command, nil
	}
	if path == "" {
		path = defaultPath
	}
	var reason = errNotInPath
	if command == "" {
		return "", &CommandError{command, reason}
	}
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "." // POSIX: an empty entry is the working directory
		}
		file := dir + "/" + command
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			reason = err
		}
	}
	return "", &CommandError{command, reason}
}

func executable(file string) error {
	info, err := os.Stat(file)
	if err != nil {
		return errors.Unwrap(err)
	}
	if !info.Mode().IsRegular() {
		return unix.EACCES // what execve(2) says of a directory
	}
	return unix.Faccessat(unix.AT_FDCWD, file, unix.X_OK, unix.AT_EACCESS)
}
