// Package bench measures what the programs cost beside others: launches, services
// and ports into a namespace. What is compared is measured in turns, so that what
// the machine does meanwhile falls on all of it. Reported are medians, of ours and
// of what is beside it, and the ratio of the two.
package bench

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
	"openrc-netns/tests/vm"
)

// installed is what "make install DESTDIR=" has filled, and the probe.
var installed string

// apartEnv is set for the program that measures.
const apartEnv = "OPENRC_NETNS_BENCH_APART"

func TestMain(m *testing.M) {
	vm.Init()
	machine.Init()
	flag.Parse()
	var err error
	switch {
	case flag.Arg(0) == "serve":
		err = serve()
	case flag.Lookup("test.bench").Value.String() == "":
		os.Exit(m.Run()) // there are no tests
	case os.Getenv(apartEnv) == "":
		err = apart()
	default:
		os.Exit(kit.Main(m, &installed))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// apart measures where that changes nothing, in mount, network and PID namespaces
// with the network namespace bench, and with roots that are fetched before.
func apart() error {
	err := machine.Check()
	sid := func() (string, error) { return machine.Root("sid") }
	for _, root := range []func() (string, error){sid, vm.Root, others} {
		if err == nil {
			_, err = root()
		}
	}
	if err != nil {
		return err
	}
	const script = `mount -t tmpfs none /run
		ip link set lo up; ip netns add bench; ip -n bench link set lo up; exec "$0" "$@"`
	cmd := self("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-ec", script)
	cmd.Args = append(append(cmd.Args, os.Args[1:]...), "-test.benchtime=1x") // each repeats what it measures
	cmd.Env = append(os.Environ(), apartEnv+"=1")
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

// side is one side of a comparison.
type side struct {
	name    string
	measure func(b *testing.B) []float64
}

// compare measures in rounds, and reports ours, which is the first side, beside
// the others. A side called again is as the one before, and its ratio to that
// shows what a difference is worth.
func compare(b *testing.B, what, unit string, rounds int, sides ...side) {
	b.Run(what, func(b *testing.B) {
		if os.Getenv("BENCH_SMOKE") != "" {
			rounds = 1
		}
		samples := make([][]float64, len(sides))
		for range rounds {
			for i, s := range sides {
				samples[i] = append(samples[i], s.measure(b)...)
			}
		}
		for i, s := range sides {
			if s.name == "again" {
				b.ReportMetric(median(samples[i])/median(samples[i-1]), "ratio:again")
				continue
			}
			b.ReportMetric(median(samples[i]), unit+":"+s.name)
			if i > 0 {
				b.ReportMetric(median(samples[0])/median(samples[i]), "ratio:"+s.name)
			}
		}
		b.ReportMetric(float64(len(samples[0])), "runs")
		b.ReportMetric(0, "ns/op")
	})
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// shell runs a script that has to succeed, somewhere, and returns what it prints.
type shell func(b testing.TB, script string) string

func here(b testing.TB, script string) string {
	b.Helper()
	var stderr strings.Builder
	cmd := exec.Command("sh", "-ec", script)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%s: %v\n%s%s", script, err, out, stderr.String())
	}
	return string(out)
}

// timed is a side that measures a command with hyperfine, in milliseconds.
func timed(name string, sh shell, options, command string) side {
	return side{name, func(b *testing.B) (times []float64) {
		var report struct {
			Results []struct {
				Times        []float64
				Measurements []struct { // hyperfine 2 has them in place of times
					Wall struct{ Value float64 } `json:"time_wall_clock"`
				}
			}
		}
		said := sh(b, "hyperfine --shell=none --style=none --export-json=/proc/self/fd/1 "+options+" '"+command+"'")
		if err := json.Unmarshal([]byte(said), &report); err != nil || len(report.Results) != 1 {
			b.Fatalf("%v: %s", err, said)
		}
		for _, seconds := range report.Results[0].Times {
			times = append(times, seconds*1000)
		}
		for _, m := range report.Results[0].Measurements {
			times = append(times, m.Wall.Value*1000)
		}
		return times
	}}
}
