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
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

const help = `usage: bench-expose BIN
BIN is the directory with netns-expose.`

// What the program starts itself as: in mount and network namespaces to spare,
// and as the daemon behind the ports.
const (
	inside = "inside"
	server = "server"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case slices.Equal(args, []string{server}):
		err = serve()
	case len(args) == 2 && args[0] == inside:
		err = bench(args[1])
	case len(args) == 1:
		err = apart(args[0])
	default:
		fmt.Fprintln(os.Stderr, help)
		os.Exit(2)
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
	cmd := self("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
	cmd.Args = append(cmd.Args, inside, bin)
	cmd.Env = append(os.Environ(), othersVariable+"="+others)
	return cmd.Run()
}

// self is this program, as the command of another one.
func self(by ...string) *exec.Cmd {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(by[0], append(by[1:], path)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd
}

const (
	most = 5 // rounds of all programs in turns, so that what the machine does meanwhile falls on all
	span = time.Second
)

func bench(bin string) error {
	script := `mkdir -p /run/netns && mount -t tmpfs none /run/netns &&
		ip link set lo up && ip netns add bench && ip -n bench link set lo up`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	for _, network := range []string{"/proc/1/ns/net", "/run/netns/bench"} {
		daemon := self("nsenter", "--net="+network)
		daemon.Args = append(daemon.Args, server)
		if err := daemon.Start(); err != nil {
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
			fmt.Fprintf(table, "\t%.0f", value)
			if i > 0 {
				ratios += fmt.Sprintf("\t%.2f", ours/value)
			}
		}
		fmt.Fprintln(table, ratios)
	}
	return table.Flush()
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
