// Package process runs a command for package machine, and in the guest of
// package vm, and tells what became of it.
package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// Err is nil for status 0, otherwise an error with the status and all the
// output.
func (r Result) Err() error {
	if r.Code == 0 {
		return nil
	}
	return fmt.Errorf("status %d: %s", r.Code, strings.TrimSpace(r.Output))
}

// Command is a command to run. Its standard output and error are Run's.
type Command struct {
	*exec.Cmd
	Runner  string // says in the output that the command was killed
	Timeout time.Duration
	Log     io.Writer       // gets what background processes say after the command has ended
	Late    *sync.WaitGroup // of what copies that to Log
}

// Run runs the command in a session of its own, and returns when it ends: a
// background process that holds on to the output does not keep it waiting.
// After the timeout all that is in the command's process group is killed.
func (c Command) Run() (Result, error) {
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

	c.Stdout, c.Stderr = stdoutWrite, stderrWrite
	ended := -1
	if c.SysProcAttr == nil {
		c.SysProcAttr = &unix.SysProcAttr{}
	}
	c.SysProcAttr.Setsid, c.SysProcAttr.PidFD = true, &ended
	if err := c.Start(); err != nil {
		stdout.Close()
		stderr.Close()
		return Result{}, err
	}
	defer unix.Close(ended)
	stdoutWrite.Close()
	stderrWrite.Close()

	var out, errOut, both bytes.Buffer
	timedOut := collect(ended, time.Now().Add(c.Timeout), []stream{
		{stdout, io.MultiWriter(&out, &both)},
		{stderr, io.MultiWriter(&errOut, &both)},
	})
	if timedOut {
		fmt.Fprintf(&both, "%s: killed after %v:\n%s", c.Runner, c.Timeout, session(c.Process.Pid))
		unix.Kill(-c.Process.Pid, unix.SIGKILL)
	}
	c.Wait()
	// Whoever still writes must neither block nor meet a broken pipe.
	for _, pipe := range []*os.File{stdout, stderr} {
		c.Late.Go(func() {
			io.Copy(c.Log, pipe)
			pipe.Close()
		})
	}

	result := Result{
		Stdout: out.String(),
		Stderr: errOut.String(),
		Output: both.String(),
		Code:   c.ProcessState.ExitCode(),
	}
	if status, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		result.Code = 128 + int(status.Signal())
	}
	if timedOut {
		result.Code = 124
	}
	return result, nil
}

// session lists the processes of a session, a line for each: its number, its
// state, where in the kernel it waits, and its command line.
func session(id int) string {
	var lines strings.Builder
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		stat, _ := os.ReadFile(file)
		// The name stands in parentheses and may have some in it
		// (proc_pid_stat(5)).
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		const state, sid = 0, 3
		if len(fields) <= sid || fields[sid] != strconv.Itoa(id) {
			continue
		}
		dir := filepath.Dir(file)
		waits, _ := os.ReadFile(filepath.Join(dir, "wchan"))
		command, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		fmt.Fprintf(&lines, "%s %s %s %s\n", filepath.Base(dir), fields[state], waits, bytes.ReplaceAll(command, []byte{0}, []byte(" ")))
	}
	return lines.String()
}

type stream struct {
	from *os.File
	to   io.Writer
}

// collect copies the streams until the process has ended and nothing that it
// wrote is left, or until the deadline.
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
