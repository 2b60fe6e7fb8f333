// Package aside has what others can keep waiting for ever done by another process of
// this program. It is left behind then: with a thread that waits, this one could not
// end either.
package aside

import (
	"errors"
	"io"
	"os"
	"os/exec"
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
