package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/sandbox"
)

// The program is executed four times, for two processes. As it was started, it
// opens everything (start); once more inside, for the connector to be apart
// from it; and then each of the two once more in a sandbox, to do its work
// (play). What it is to be is in the environment, with its descriptors.
const (
	partVariable = "OPENRC_NETNS_PUBLISH"

	partEnter   = "enter"   // become the connector: the socket to the relay
	partConnect = "connect" // the connector: the same
	partRelay   = "relay"   // the socket to the connector, the listeners
)

// start opens all that root is needed for, and becomes the relay.
func (o *options) start() error {
	ns, err := o.open()
	if err != nil {
		return err
	}
	listeners, err := o.listen()
	if err != nil {
		return err
	}
	if o.dryRun {
		o.closeAll(listeners)
		return nil
	}
	fds, err := o.prepare(ns, listeners)
	if err != nil {
		o.closeAll(listeners)
		return err
	}
	return sandbox.Become(os.Args, environ(partRelay, fds...), fds...)
}

// prepare goes inside and starts the connector. It returns the descriptors of
// the relay.
func (o *options) prepare(ns *namespace.Namespace, listeners []int) ([]int, error) {
	if err := nullInput(); err != nil {
		return nil, err
	}
	if err := o.limitFiles(); err != nil {
		return nil, err
	}
	if err := ns.Enter(); err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("socketpair: %w", err)
	}
	_, err = syscall.ForkExec("/proc/self/exe", os.Args, &syscall.ProcAttr{
		Env:   environ(partEnter, 3),
		Files: []uintptr{0, 1, 2, uintptr(pair[1])},
	})
	if err != nil {
		return nil, fmt.Errorf("start a second process: %w", err)
	}
	return append([]int{pair[0]}, listeners...), nil
}

// open opens the namespace, which has to be another one than the host's.
func (o *options) open() (*namespace.Namespace, error) {
	ns, err := namespace.Open(o.netns)
	if err != nil {
		return nil, err
	}
	host, err := namespace.Current()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	if host.Inode() == ns.Inode() {
		return nil, fmt.Errorf("network namespace %q is the one that this program is started in: start it on the host's network", o.netns)
	}
	return ns, nil
}

// listen opens the listeners; all of them or none.
func (o *options) listen() (listeners []int, err error) {
	for _, entry := range o.entries {
		fd, err := entry.Open()
		if err != nil {
			o.closeAll(listeners)
			return nil, err
		}
		listeners = append(listeners, fd)
	}
	return listeners, nil
}

func (o *options) closeAll(listeners []int) {
	for i, fd := range listeners {
		o.entries[i].Close(fd)
	}
}

// nullInput has nothing of the caller's on standard input and output, where a
// terminal may be.
func nullInput() error {
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/null: %w", err)
	}
	for fd := range 2 {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return fmt.Errorf("open /dev/null: %w", err)
		}
	}
	return nil
}

// limitFiles makes room for all descriptors that there may be. Where that is
// forbidden, as in a container, there are fewer connections.
func (o *options) limitFiles() error {
	needed := uint64(o.limits.Descriptors())
	if syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: needed, Max: needed}) == nil {
		return nil
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("find the limit of open files: %w", err)
	}
	if !o.limits.Fit(int(limit.Max)) {
		return fmt.Errorf("the limit of open files is %d, which is too low: raise it with rc_ulimit", limit.Max)
	}
	fmt.Fprintf(os.Stderr, "netns-publish: warning: no more than %d connections at once: the limit of open files is %d\n",
		o.limits.Connections, limit.Max)
	return nil
}

func environ(part string, fds ...int) []string {
	text := part
	for _, fd := range fds {
		text += fmt.Sprintf(" %d", fd)
	}
	return []string{partVariable + "=" + text}
}

// play is the rest of it, in the place that start has prepared.
func (o *options) play(text string) error {
	part, rest, _ := strings.Cut(text, " ")
	var fds []int
	for word := range strings.FieldsSeq(rest) {
		fd := -1
		if _, err := fmt.Sscan(word, &fd); err != nil {
			return fmt.Errorf("%s=%s: %w", partVariable, text, err)
		}
		fds = append(fds, fd)
	}
	switch {
	case len(fds) == 1 && part == partEnter:
		return sandbox.Become(os.Args, environ(partConnect, fds...), fds...)
	case len(fds) == 1 && part == partConnect:
		return publish.Connect(o.entries, fds[0])
	case len(fds) == 1+len(o.entries) && part == partRelay:
		return publish.Relay(o.netns, o.entries, fds[1:], fds[0], o.limits, newReporter(o.entries).say)
	}
	return fmt.Errorf("%s is set to %q: it is for this program alone", partVariable, text)
}
