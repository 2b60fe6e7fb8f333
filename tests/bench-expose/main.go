// Bench-expose measures what a port that leads into a network namespace costs:
// netns-expose beside systemd-socket-proxyd and socat, in turns.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

const usage = `usage: bench-expose BIN
BIN is the directory with netns-expose.`

// The names under which the program starts itself.
const (
	insideName = "bench-expose inside" // in mount and network namespaces to spare
	serverName = "bench-expose server" // the daemon behind the ports
)

func main() {
	var err error
	switch {
	case os.Args[0] == serverName:
		err = serve()
	case len(os.Args) != 2:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	case os.Args[0] == insideName:
		err = bench(os.Args[1])
	default:
		runtime.LockOSThread() // what it starts ends with this thread
		err = apart(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-expose:", err)
		os.Exit(1)
	}
}

// apart has the measurements made where they change nothing.
func apart(bin string) error {
	if os.Getuid() != 0 {
		return errors.New("needs root")
	}
	others, err := unpack()
	if err != nil {
		return err
	}
	cmd := self(insideName, bin)
	cmd.Env = append(os.Environ(), othersVariable+"="+others)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL, // and with it all that is in the PID namespace
	}
	return cmd.Run()
}

// self is this program under another name.
func self(name string, args ...string) *exec.Cmd {
	return &exec.Cmd{Path: "/proc/self/exe", Args: append([]string{name}, args...), Stdout: os.Stdout, Stderr: os.Stderr}
}

const (
	most = 5 // rounds of all programs in turns, so that what the machine does meanwhile falls on all
	span = time.Second
)

func bench(bin string) error {
	script := `mount --make-rprivate / && mount -t proc none /proc && mkdir -p /run/netns && mount -t tmpfs none /run/netns &&
		ip link set lo up && ip netns add bench && ip -n bench link set lo up`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, network := range []string{"/proc/self/ns/net", "/run/netns/bench"} {
		if err := startServer(network); err != nil {
			return err
		}
	}
	if err := waitFor(serverAddress); err != nil {
		return err
	}
	programs := contenders(bin)
	results := make([]map[string][]float64, len(programs))
	for i := range results {
		results[i] = map[string][]float64{}
	}
	rounds := most
	if os.Getenv("BENCH_SMOKE") != "" {
		rounds = 1
	}
	for range rounds {
		for i, p := range programs {
			if err := p.measure(results[i]); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	fmt.Printf("\nports into a network namespace, Linux %s", kernel)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "what")
	for _, p := range programs {
		fmt.Fprint(table, "\t", p.name)
	}
	for i := range programs[1:] {
		fmt.Fprintf(table, "\tratio to %s", strings.Fields(programs[i+1].name)[0])
	}
	fmt.Fprintln(table)
	for _, row := range rows {
		fmt.Fprint(table, row.what)
		ours := median(results[0][row.what])
		ratios := ""
		for i := range programs {
			value := median(results[i][row.what])
			fmt.Fprintf(table, "\t"+row.format, value)
			if i > 0 {
				ratios += fmt.Sprintf("\t%.2f", ours/value)
			}
		}
		fmt.Fprintln(table, ratios)
	}
	return table.Flush()
}

// startServer starts the daemon in a network namespace: a process is born in
// that of the thread that starts it.
func startServer(path string) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and no unlock: the thread ends with the goroutine
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
		}
		if err == nil {
			err = self(serverName).Start()
		}
		done <- err
	}()
	return <-done
}

func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return sorted[len(sorted)/2]
}

const othersVariable = "BENCH_EXPOSE_OTHERS"

// unpack fetches the packages of the other programs, which are not installed,
// and returns the directory that they are unpacked in.
func unpack() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "openrc-netns", "bench-expose")
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// In Debian 12 the library is a part of systemd.
	cmd := exec.Command("sh", "-ec", `apt-get download systemd socat libwrap0
		apt-get download libsystemd-shared || :
		for package in *.deb; do dpkg -x "$package" .; done
		rm *.deb; touch done`)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetch systemd-socket-proxyd and socat: %w: %s", err, out)
	}
	return dir, nil
}
