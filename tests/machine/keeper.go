package machine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"runtime"

	"golang.org/x/sys/unix"

	"openrc-netns/tests/internal/group"
)

// The names, as argv[0], that make this binary a machine's keeper or its PID 1.
const (
	keeperName = "machine-keeper"
	initName   = "machine-init"
)

var initialized bool

// Init has to be called first of all in the main or TestMain of a program that
// makes machines. In a machine's keeper and PID 1, which are the same binary,
// it never returns. In the program itself it marks the descriptors above 2 that
// the program was born with as close-on-exec, so that no machine inherits them,
// and sets the umask of a login, so that other users of a machine may read what
// is brought there.
func Init() {
	if os.Args[0] != keeperName && os.Args[0] != initName {
		unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
		unix.Umask(0o022)
		initialized = true
		return
	}
	os.WriteFile("/proc/self/comm", []byte(os.Args[0]), 0) // for ps(1); else it is "exe"
	var s spec
	err := json.NewDecoder(os.Stdin).Decode(&s)
	switch {
	case err != nil:
	case os.Args[0] == keeperName:
		err = keep(s)
	default:
		err = runPID1(s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// keep runs a machine until the program closes its end of the pipe on
// descriptor 3, or dies, and then removes it. Its report goes to descriptor 4.
func keep(s spec) error {
	unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	life, answer := os.NewFile(3, "life"), os.NewFile(4, "answer")
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGPIPE)
	// Cgroup namespaces are a thread's, and so is the death with which PID 1
	// dies.
	runtime.LockOSThread()

	var r report
	var legacy *os.File
	if s.V1 != "" {
		var err error
		if legacy, err = mountLegacy(s.V1); err != nil {
			return fmt.Errorf("mount cgroup v1: %w", err)
		}
	}
	own, err := group.New("machine")
	if err != nil {
		r.NoCgroup = err.Error()
	} else {
		s.Cgroup, r.Cgroup = true, int(own.Dir.Fd())
	}
	pid1, err := startPID1(s, own)
	if err != nil {
		r.Err = err.Error()
	} else {
		r.PID = pid1.Pid
	}
	if err := json.NewEncoder(answer).Encode(r); err == nil {
		io.Copy(io.Discard, life)
	}

	var errs []error
	if pid1 != nil {
		pid1.Kill()
		_, err := pid1.Wait() // for all other processes of the PID namespace too
		errs = append(errs, err)
	}
	if own != nil {
		errs = append(errs, own.Remove())
	}
	if legacy != nil {
		errs = append(errs, group.RemoveBelow(legacy))
	}
	return errors.Join(errs...)
}

// startPID1 returns once the machine's PID 1 is ready. A nil cgroup is none.
func startPID1(s spec, own *group.Group) (*os.Process, error) {
	ready, readyWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer ready.Close()

	cmd := reexec(initName, s)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{readyWrite}
	cmd.SysProcAttr = &unix.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	if own == nil {
		err = cmd.Start()
	} else {
		// The root of a new cgroup namespace is the cgroup that its maker is in
		// at that moment.
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWCGROUP
		err = own.Within(cmd.Start)
	}
	readyWrite.Close()
	if err == nil {
		var said []byte
		if said, err = io.ReadAll(ready); err == nil && string(said) != "ready" {
			err = fmt.Errorf("PID 1: %s", said)
		}
	}
	if err == nil {
		return cmd.Process, nil
	}
	if cmd.Process != nil {
		cmd.Process.Kill()
		cmd.Process.Wait()
	}
	return nil, err
}
