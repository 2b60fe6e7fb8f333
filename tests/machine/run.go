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
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Result is what became of a script.
type Result struct {
	Stdout, Stderr string
	Output         string // both in the order of arrival; a script that needs the order of writing says "exec 2>&1" first
	Code           int    // exit status; 128+N after signal N, as in a shell; 124 after the timeout, as of timeout(1)
}

// Err is nil for status 0, otherwise an error with the status and all the output.
func (r Result) Err() error {
	if r.Code == 0 {
		return nil
	}
	return fmt.Errorf("status %d: %s", r.Code, strings.TrimSpace(r.Output))
}

// Run runs "sh -c script" in the machine as root, as a login on its console would: in a session of its own and a cgroup
// of the machine, an environment of PATH, HOME and TERM alone, working directory "/", default signals, umask 022, a
// soft limit of 1024 open files where the hard one is not lower, and /dev/null as standard input.
//
// Run returns when the script ends: a background process that holds on to the output does not keep it waiting. After
// the timeout all that is in the script's process group is killed; daemons that have left it live on.
func (m *Machine) Run(script string) Result {
	const ordinary = `umask 022; ulimit -Sn 1024 2>/dev/null; exec sh -c "$1"`
	return m.run(nil, "env", "--default-signal", "sh", "-c", ordinary, "sh", script)
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
	stdout, stdoutWrite, err := os.Pipe()
	if err != nil {
		return Result{}, err
	}
	defer stdoutWrite.Close()
	stderr, stderrWrite, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return Result{}, err
	}
	defer stderrWrite.Close()

	nsenter := []string{"-t", strconv.Itoa(m.pid), "-m", "-n", "-p", "-u", "-i", "-C", "--"}
	cmd := exec.Command("nsenter", append(nsenter, argv...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "TERM=dumb"}
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdoutWrite, stderrWrite
	ended := -1
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, PidFD: &ended}
	if m.cgroup != nil {
		cmd.SysProcAttr.UseCgroupFD = true
		cmd.SysProcAttr.CgroupFD = int(m.cgroup.Fd())
	}
	if err := cmd.Start(); err != nil {
		stdout.Close()
		stderr.Close()
		return Result{}, err
	}
	defer unix.Close(ended)
	stdoutWrite.Close()
	stderrWrite.Close()

	var out, errOut, both bytes.Buffer
	timedOut := collect(ended, time.Now().Add(m.timeout), []stream{
		{stdout, io.MultiWriter(&out, &both)},
		{stderr, io.MultiWriter(&errOut, &both)},
	})
	if timedOut {
		unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		fmt.Fprintf(&both, "machine: killed after %v\n", m.timeout)
	}
	cmd.Wait()
	// Whoever still writes must neither block nor meet a broken pipe.
	for _, pipe := range []*os.File{stdout, stderr} {
		m.late.Go(func() {
			io.Copy(m.log, pipe)
			pipe.Close()
		})
	}

	result := Result{
		Stdout: out.String(),
		Stderr: errOut.String(),
		Output: both.String(),
		Code:   cmd.ProcessState.ExitCode(),
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Code = 128 + int(status.Signal())
	}
	if timedOut {
		result.Code = 124
	}
	return result, nil
}

type stream struct {
	from *os.File
	to   io.Writer
}

// collect copies the streams until the process has ended and nothing that it wrote is left, or until the deadline.
func collect(pidfd int, deadline time.Time, streams []stream) (timedOut bool) {
	buffer := make([]byte, 64<<10) // pipe(7): as much as a pipe holds, so that one read takes all of it
	polled := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for _, s := range streams {
		polled = append(polled, unix.PollFd{Fd: int32(s.from.Fd()), Events: unix.POLLIN})
	}
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return true
		}
		if _, err := unix.Poll(polled, int(left.Milliseconds())+1); err != nil {
			continue // interrupted
		}
		for i, s := range streams {
			p := &polled[i+1]
			if p.Revents == 0 {
				continue
			}
			n, err := unix.Read(int(p.Fd), buffer)
			if n > 0 {
				s.to.Write(buffer[:n])
			} else if err == nil {
				p.Fd = -1 // end of file: poll(2) ignores a negative descriptor
			}
		}
		if polled[0].Revents != 0 {
			return false
		}
	}
}

// WriteFile writes a file of the machine, as root's and with the very mode, whatever the umask. It makes the folders
// above it where they are missing.
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

// open opens a file of the machine. Symbolic links, absolute ones too, lead nowhere but into the machine.
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
	return m.run(nil, append([]string{"sh", "-ec", script, "sh"}, args...)...).Err()
}

// Install copies what "make install DESTDIR=destdir" has installed to the machine's "/": with modes and links, as
// root's, and into folders that are symbolic links there.
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
	unpacked := m.run(archive, "tar", "-C", "/", "--no-overwrite-dir", "--keep-directory-symlink", "-xp")
	if err := pack.Wait(); err != nil {
		return fmt.Errorf("install %s: %w: %s", destdir, err, bytes.TrimSpace(complaint.Bytes()))
	}
	if err := unpacked.Err(); err != nil {
		return fmt.Errorf("install %s: %w", destdir, err)
	}
	return nil
}
