package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// contender is a program that passes connections on.
type contender struct {
	name    string
	address string
	start   func(*contender) (*exec.Cmd, error)
}

// contenders are the programs, ours first.
func contenders(bin string) []*contender {
	others := os.Getenv(othersVariable)
	libraries, _ := filepath.Glob(others + "/usr/lib/*-linux-*")
	libraries = append(libraries, others+"/usr/lib/systemd", others+"/lib/systemd")
	environ := append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join(libraries, ":"))
	proxyd := others + "/lib/systemd/systemd-socket-proxyd"
	if _, err := os.Stat(proxyd); err != nil {
		proxyd = others + "/usr/lib/systemd/systemd-socket-proxyd"
	}
	return []*contender{
		{"netns-expose", "127.0.0.1:7101", func(c *contender) (*exec.Cmd, error) {
			return exec.Command(bin+"/netns-expose", "bench", c.address+"="+serverAddress), nil
		}},
		// It is given its listener, and no SIGPIPE, as by systemd.
		{"systemd-socket-proxyd", "127.0.0.1:7102", func(c *contender) (*exec.Cmd, error) {
			listener, err := net.Listen("tcp", c.address)
			if err != nil {
				return nil, err
			}
			defer listener.Close()
			file, err := listener.(*net.TCPListener).File()
			if err != nil {
				return nil, err
			}
			cmd := exec.Command("nsenter", "--net=/run/netns/bench", "sh", "-c",
				"trap '' PIPE; LISTEN_FDS=1 LISTEN_PID=$$ exec "+proxyd+" --connections-max=100000 "+serverAddress)
			cmd.ExtraFiles = []*os.File{file}
			cmd.Env = environ
			return cmd, nil
		}},
		// It cannot do it alone before 1.8. This is what it takes at least.
		{"socat (no namespace)", "127.0.0.1:7103", func(c *contender) (*exec.Cmd, error) {
			_, port, _ := net.SplitHostPort(c.address)
			cmd := exec.Command(others+"/usr/bin/socat", "-b65536", "TCP-LISTEN:"+port+",bind=127.0.0.1,fork,reuseaddr,backlog=4096", "TCP:"+serverAddress)
			cmd.Env = environ
			return cmd, nil
		}},
	}
}

// measure starts the program, makes all measurements, and ends it.
func (c *contender) measure(results map[string][]float64) error {
	group, err := newCgroup()
	if err != nil {
		return err
	}
	cmd, err := c.start(c)
	if err != nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// It has to be in the cgroup before it does anything.
	cmd.Args = append([]string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, group + "/cgroup.procs", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if err := cmd.Start(); err != nil {
		return err
	}
	for _, file := range cmd.ExtraFiles {
		file.Close()
	}
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		_ = cmd.Wait()
		for i := 0; i < 600 && os.Remove(group) != nil; i++ { // some of it is not at its end
			time.Sleep(100 * time.Millisecond)
		}
	}()
	if err := waitFor(c.address); err != nil {
		return err
	}
	for _, row := range rows {
		value, err := row.measure(c.address)
		if err != nil {
			return fmt.Errorf("%s: %w: %s", row.what, err, last(stderr.String()))
		}
		results[row.what] = append(results[row.what], value)
	}
	return nil
}

// last is the end of what a program has said.
func last(text string) string { return text[max(0, len(text)-1000):] }

// waitFor waits until somebody answers there.
func waitFor(address string) error {
	var err error
	for range 600 {
		var conn net.Conn
		if conn, err = net.Dial("tcp", address); err == nil {
			err = ask(conn)
			conn.Close()
			if err == nil {
				return nil
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// newCgroup makes a cgroup that counts the memory of a program, what the kernel
// has for it included.
func newCgroup() (dir string, err error) {
	for at, file := range usageFiles {
		dir = at + "/bench-expose"
		_ = os.Mkdir(dir, 0o755)
		if _, err = os.Stat(filepath.Join(dir, file)); err == nil {
			return dir, nil
		}
		_ = os.Remove(dir)
	}
	return "", fmt.Errorf("no memory cgroup: %w", err)
}

// usageFiles say in each version of cgroups how much it is.
var usageFiles = map[string]string{"/sys/fs/cgroup/memory": "memory.usage_in_bytes", "/sys/fs/cgroup": "memory.current"}

// usage is how much the cgroup takes.
func usage() (bytes float64, err error) {
	for at, file := range usageFiles {
		var text []byte
		if text, err = os.ReadFile(filepath.Join(at, "bench-expose", file)); err == nil {
			return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
		}
	}
	return 0, err
}
