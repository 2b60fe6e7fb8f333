package vm

import (
	"errors"
	"io"
	"io/fs"
	"net/rpc"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/process"
)

// agent answers the program from inside the guest.
type agent struct{}

// net/rpc wants types that are exported or have no name.
type (
	// job is a script to run.
	job = struct {
		Script  string
		Timeout time.Duration
	}

	// file is a file to write or the answer with one read.
	file = struct {
		Name    string
		Mode    fs.FileMode
		Content []byte
		Errno   syscall.Errno
	}
)

// greeting tells the program that the line passes every byte as it is, from now
// on, and that the guest has booted.
const greeting = "ready\n"

// serve answers calls for as long as there is somebody to call; where OpenRC
// boots the guest, from when it has.
func serve(boot bool) error {
	for boot && !booted() {
		time.Sleep(20 * time.Millisecond)
	}
	line, err := os.OpenFile("/dev/ttyS0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	if err := shell("stty raw -echo <" + line.Name()); err != nil {
		return err
	}
	// The folder can be reached by descriptor 3 alone.
	unix.CloseOnExec(3)
	if err := unix.Fchdir(3); err != nil {
		return err
	}
	folder, err := os.OpenRoot(".")
	if err != nil {
		return err
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Agent", agent{}); err != nil {
		return err
	}
	if _, err := io.WriteString(line, greeting); err != nil {
		return err
	}
	server.ServeConn(&postbox{bell: line, folder: folder, out: "answer", in: "call"})
	return nil
}

// booted tells whether the "openrc default" that openrc-init runs has entered
// the runlevel, and has ended.
func booted() bool {
	level, _ := os.ReadFile("/run/openrc/softlevel")
	if strings.TrimSpace(string(level)) != "default" {
		return false
	}
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	return !slices.ContainsFunc(names, func(name string) bool {
		comm, _ := os.ReadFile(name)
		return string(comm) == "openrc\n"
	})
}

// WriteFile is [VM.WriteFile] in the guest.
func (agent) WriteFile(f file, answer *file) error {
	err := os.MkdirAll(filepath.Dir(f.Name), 0o755)
	if err == nil {
		err = os.WriteFile(f.Name, f.Content, f.Mode.Perm())
	}
	if err == nil {
		err = os.Chmod(f.Name, f.Mode)
	}
	errors.As(err, &answer.Errno)
	return nil
}

// ReadFile is [VM.ReadFile] in the guest.
func (agent) ReadFile(f file, answer *file) error {
	content, err := os.ReadFile(f.Name)
	answer.Content = content
	errors.As(err, &answer.Errno)
	return nil
}

// Run is [VM.Run] in the guest.
func (agent) Run(j job, result *Result) (err error) {
	cmd := ordinary("sh", "-c", j.Script)
	var late sync.WaitGroup
	*result, err = process.Command{Cmd: cmd, Runner: "vm", Timeout: j.Timeout, Log: os.Stderr, Late: &late}.Run()
	return err
}
