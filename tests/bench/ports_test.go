package bench

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
	"testing"
	"time"

	"openrc-netns/tests/machine"
)

// others is a root with the programs of others.
func others() (string, error) {
	recipe := []string{"--variant=extract", "--include=systemd,socat"}
	return machine.CachedRoot("bench-bookworm", "bookworm", recipe, os.Stderr)
}

// contender is a program that passes connections on.
type contender struct {
	name    string
	address string
	command func(address string) (*exec.Cmd, error)
	memory  string // the file that says how many bytes it takes
}

// contenders are the programs, ours first.
func contenders(others string) []*contender {
	return []*contender{
		{name: "netns-publish", address: "127.0.0.1:7101", command: func(address string) (*exec.Cmd, error) {
			return exec.Command(installed+"/usr/sbin/netns-publish", "bench", address+"="+serverAddress), nil
		}},
		// It is given its listener, and no SIGPIPE, as by systemd.
		{name: "systemd-socket-proxyd", address: "127.0.0.1:7102", command: func(address string) (*exec.Cmd, error) {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				return nil, err
			}
			defer listener.Close()
			file, err := listener.(*net.TCPListener).File()
			if err != nil {
				return nil, err
			}
			cmd := exec.Command("nsenter", "--net=/run/netns/bench", "sh", "-c",
				`trap '' PIPE; LISTEN_FDS=1 LISTEN_PID=$$ exec chroot "$@"`, "sh",
				others, "/lib/systemd/systemd-socket-proxyd", "--connections-max=100000", serverAddress)
			cmd.ExtraFiles = []*os.File{file}
			return cmd, nil
		}},
		// It cannot do it alone before 1.8, and is not in the namespace. This is what
		// it takes at least.
		{name: "socat", address: "127.0.0.1:7103", command: func(address string) (*exec.Cmd, error) {
			_, port, _ := net.SplitHostPort(address)
			return exec.Command("chroot", others, "/usr/bin/socat", "-b65536",
				"TCP-LISTEN:"+port+",bind=127.0.0.1,fork,reuseaddr,backlog=4096", "TCP:"+serverAddress), nil
		}},
	}
}

// Ports that lead into a network namespace.
func BenchmarkPorts(b *testing.B) {
	others, err := others()
	if err != nil {
		b.Fatal(err)
	}
	for _, network := range []string{"/proc/1/ns/net", "/run/netns/bench"} {
		daemon := self("nsenter", "--net="+network)
		daemon.Args = append(daemon.Args, "serve")
		if err := daemon.Start(); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	}
	if err := waitFor(serverAddress); err != nil {
		b.Fatal(err)
	}
	for _, row := range portRows {
		var sides []side
		for _, c := range contenders(others) {
			sides = append(sides, side{c.name, func(b *testing.B) []float64 {
				value, err := c.during(row.measure)
				if err != nil {
					b.Fatalf("%s: %v", c.name, err)
				}
				return []float64{value}
			}})
		}
		compare(b, row.what, row.unit, 5, sides...)
	}
}

// during starts the program, measures, and ends it.
func (c *contender) during(measure func(*contender) (float64, error)) (value float64, err error) {
	if c.memory, err = newCgroup(); err != nil {
		return 0, err
	}
	group := filepath.Dir(c.memory)
	cmd, err := c.command(c.address)
	if err != nil {
		return 0, err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	// It has to be in the cgroup before it does anything.
	cmd.Args = append([]string{"sh", "-c", `echo $$ >"$0"; exec "$@"`, group + "/cgroup.procs", cmd.Path}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if err := cmd.Start(); err != nil {
		return 0, err
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
		if err != nil {
			said := stderr.String()
			err = fmt.Errorf("%w: %s", err, said[max(0, len(said)-1000):])
		}
	}()
	if err := waitFor(c.address); err != nil {
		return 0, err
	}
	return measure(c)
}

// waitFor waits until somebody answers there.
func waitFor(address string) (err error) {
	for range 600 {
		if err = converse(address, func() bool { return false }); err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}

// newCgroup makes a cgroup that counts the memory of a program, what the kernel
// has for it included. It returns the file that says how much that is.
func newCgroup() (file string, err error) {
	for _, file := range []string{"memory/bench-publish/memory.usage_in_bytes", "bench-publish/memory.current"} {
		file = "/sys/fs/cgroup/" + file
		_ = os.Mkdir(filepath.Dir(file), 0o755)
		if _, err = os.Stat(file); err == nil {
			return file, nil
		}
		_ = os.Remove(filepath.Dir(file))
	}
	return "", fmt.Errorf("no memory cgroup: %w", err)
}

// usage is how much memory the program takes.
func (c *contender) usage() (bytes float64, err error) {
	text, err := os.ReadFile(c.memory)
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}
