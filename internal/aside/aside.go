// Package aside has what others can keep waiting for ever done by another process of
// this program. It is left behind then: with a thread that waits, this one could not
// end either.
package aside

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// ErrNoAnswer says that it took too long.
var ErrNoAnswer = errors.New("no answer")

// Run has a command done that the calling program knows, and returns what it prints,
// of 4 KiB at most. The error is ErrNoAnswer where that takes longer than patience:
// the other process is killed, which it may not notice.
func Run(patience time.Duration, args ...string) (string, error) {
	const most = 4096
	read, write, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer read.Close()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdout = write
	err = cmd.Start()
	write.Close()
	if err != nil {
		return "", err
	}
	go func() { _ = cmd.Wait() }()
	_ = read.SetReadDeadline(time.Now().Add(patience))
	printed, err := io.ReadAll(io.LimitReader(read, most))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		_ = cmd.Process.Kill()
		return "", ErrNoAnswer
	}
	return string(printed), err
}

// signalled is what a shell adds to the number of a signal.
const signalled = 128

// Pass has a command done by another process, which has the standard descriptors of this
// one and is started by a name of its own. It returns the exit status, as a shell would.
// The error is as Run's, or says why there is no such process. It needs a locked thread
// that stays: when that ends, the other process is killed.
func Pass(patience time.Duration, name string, args ...string) (int, error) {
	cmd := exec.Cmd{Path: "/proc/self/exe", Args: append([]string{name}, args...)}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		if status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
			return signalled + int(status.Signal()), nil
		}
		return cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		return 0, ErrNoAnswer
	}
}
