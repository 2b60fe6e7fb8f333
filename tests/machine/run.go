package machine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/process"
)

// Result is what became of a script.
type Result = process.Result

// Run runs "sh -c script" in the machine as root, as a login on its console
// would: in a session of its own and a cgroup of the machine, an environment of
// PATH, HOME and TERM alone, working directory "/", default signals, umask 022,
// a soft limit of 1024 open files where the hard one is not lower, and
// /dev/null as standard input.
//
// Run returns when the script ends: a background process that holds on to the
// output does not keep it waiting. After the timeout all that is in the
// script's process group is killed; daemons that have left it live on.
func (m *Machine) Run(script string) Result {
	const ordinary = `umask 022; ulimit -Sn 1024 2>/dev/null; exec sh -c "$1"`
	return m.run(nil, "sh", "-c", ordinary, "sh", m.before+script)
}

// run runs a command in the machine. A nil stdin is /dev/null.
func (m *Machine) run(stdin io.Reader, argv ...string) Result {
	result, err := m.attempt(stdin, argv)
	if err != nil {
		message := fmt.Sprintf("machine: run: %v\n", err)
		return Result{Stderr: message, Output: message, Code: 125}
	}
	return result
}

func (m *Machine) attempt(stdin io.Reader, argv []string) (Result, error) {
	// The machine's env(1) may be busybox's, which leaves signals ignored.
	enter := []string{"--default-signal", "nsenter", "-t", strconv.Itoa(m.pid), "-m", "-n", "-p", "-u", "-i", "-C", "--"}
	cmd := exec.Command("env", append(enter, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb"}
	cmd.Dir = "/"
	cmd.Stdin = stdin
	if m.cgroup != nil {
		cmd.SysProcAttr = &unix.SysProcAttr{UseCgroupFD: true, CgroupFD: int(m.cgroup.Fd())}
	}
	return process.Command{Cmd: cmd, Runner: "machine", Timeout: m.timeout, Log: m.log, Late: &m.late}.Run()
}

// WriteFile writes a file of the machine, as root's and with the very mode,
// whatever the umask. It makes the folders above it where they are missing.
func (m *Machine) WriteFile(name string, mode os.FileMode, content string) error {
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_TRUNC
	file, err := m.open(name, flags, mode)
	if errors.Is(err, fs.ErrNotExist) {
		if err := m.script(`mkdir -p -- "$1"`, path.Dir(name)); err != nil {
			return fmt.Errorf("write %s in machine: %w", name, err)
		}
		file, err = m.open(name, flags, mode)
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(content); err != nil {
		return err
	}
	return file.Chmod(mode)
}

// ReadFile reads a file of the machine.
func (m *Machine) ReadFile(name string) (string, error) {
	file, err := m.open(name, unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	return string(content), err
}

// open opens a file of the machine. Symbolic links, absolute ones too, lead
// nowhere but into the machine.
func (m *Machine) open(name string, flags int, mode os.FileMode) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC), Resolve: unix.RESOLVE_IN_ROOT}
	if flags&unix.O_CREAT != 0 {
		how.Mode = uint64(mode.Perm())
	}
	fd, err := unix.Openat2(int(m.root.Fd()), name, &how)
	if err != nil {
		return nil, &fs.PathError{Op: "open in machine", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// script runs a shell script with arguments.
func (m *Machine) script(script string, args ...string) error {
	return m.run(nil, append([]string{"sh", "-ec", m.before + script, "sh"}, args...)...).Err()
}

// Install copies what "make install DESTDIR=destdir" has installed to the
// machine's "/": with modes and links, as root's, and into folders that are
// symbolic links there.
func (m *Machine) Install(destdir string) error {
	pack := exec.Command("tar", "-C", destdir, "--owner=0", "--group=0", "--numeric-owner", "-c", ".")
	var complaint bytes.Buffer
	pack.Stderr = &complaint
	archive, err := pack.StdoutPipe()
	if err != nil {
		return err
	}
	if err := pack.Start(); err != nil {
		return err
	}
	unpacked := m.run(archive, "sh", "-c", m.before+"tar -C / --no-overwrite-dir --keep-directory-symlink -xp")
	if err := pack.Wait(); err != nil {
		return fmt.Errorf("install %s: %w: %s", destdir, err, bytes.TrimSpace(complaint.Bytes()))
	}
	if err := unpacked.Err(); err != nil {
		return fmt.Errorf("install %s: %w", destdir, err)
	}
	return nil
}
