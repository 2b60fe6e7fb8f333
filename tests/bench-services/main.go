// Bench-services measures what services pay, on throw-away OpenRC machines with
// each shell: those without settings beside an OpenRC without the drop-in,
// confined ones beside an OpenRC that does what Alpine's two patches do.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"openrc-netns/tests/machine"
)

// usage is for people; "time" is what the program calls itself as, in a
// machine.
const usage = `usage: bench-services [-shell SHELL] [-row TEXT] DIR
DIR is what make install DESTDIR=DIR has filled; the options limit the run to one
shell, and to the rows with TEXT in them.`

func main() {
	machine.Init()
	shell := flag.String("shell", "", "")
	text := flag.String("row", "", "")
	flag.Usage = func() { fmt.Fprintln(os.Stderr, usage) }
	flag.Parse()
	args := flag.Args()
	var err error
	switch {
	case len(args) == 4 && args[0] == "time":
		err = clock(args[1], args[2], args[3])
	case len(args) == 1:
		rows = slices.DeleteFunc(rows, func(r row) bool { return !strings.Contains(r.what, *text) })
		shells = slices.DeleteFunc(shells, func(s string) bool { return *shell != "" && s != *shell })
		err = run(args[0])
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-services:", err)
		os.Exit(1)
	}
}

// Each command is run in rounds, a few times on one machine, a few times on the
// next, so that what this machine does meanwhile falls on all of them.
const each = 5

var shells = []string{"dash", "bash", "busybox"}

// confinedServices have dependencies of their own to be worked out.
const confinedServices = 200

// A row is a command that is run on two machines, or on three: the third is as
// the second, and shows what their difference is worth.
type row struct {
	what, beside string
	command      string
	before       string // before each run, not measured
	rounds       int
	machines     []string
}

var rows = []row{
	{"unconfined describe", "no drop-in", "rc-service plain describe", ":", 12, []string{"gate", "none", "again"}},
	{"unconfined status", "no drop-in", "rc-service plain status", ":", 12, []string{"gate", "none", "again"}},
	{"unconfined start", "no drop-in", "rc-service plain start", "rc-service plain stop", 12, []string{"gate", "none", "again"}},
	{"confined start", "OpenRC with Alpine's patches", "rc-service confined start", "rc-service confined stop", 12, []string{"gate", "patched"}},
	{"confined status", "OpenRC with Alpine's patches", "rc-service confined status", ":", 12, []string{"gate", "patched"}},
	{fmt.Sprintf("rc-update -u, %d confined", confinedServices), "no drop-in", "rc-update -u", ":", 3, []string{"many", "many, none", "many, none again"}},
}

const plainScript = "#!/sbin/openrc-run\nstart() { :; }\n"

const confinedScript = `#!/sbin/openrc-run
command=/bin/sleep
command_args=3600
command_background=yes
pidfile="/run/$RC_SVCNAME.pid"
`

// patch has OpenRC's shell files do what Alpine's patches do.
const patch = `cd /usr/lib/rc/sh
	sed -i 's/^# load service supervisor functions/[ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"\n&/' openrc-run.sh
	sed -i 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' start-stop-daemon.sh
	grep -q RC_VRF_EXEC openrc-run.sh && grep -q RC_VRF_EXEC start-stop-daemon.sh`

var manyServices = fmt.Sprintf(`for i in $(seq %d); do ln -s confined /etc/init.d/confined.$i; echo netns=vpn >/etc/conf.d/confined.$i; done`, confinedServices)

func run(installed string) error {
	if err := machine.Check(); err != nil {
		return err
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	kernel, err := exec.Command("uname", "-r").Output()
	if err != nil {
		return err
	}
	for _, shell := range shells {
		table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		openrc, err := bench(table, shell, installed, string(self))
		if err != nil {
			return fmt.Errorf("%s: %w", shell, err)
		}
		fmt.Printf("\n%s with %s, Linux %s", openrc, shell, kernel)
		table.Flush()
	}
	return nil
}

// bench fills the table for a shell, and returns the version of OpenRC.
func bench(table *tabwriter.Writer, shell, installed, self string) (version string, err error) {
	machines := map[string]*machine.Machine{}
	for _, r := range rows {
		for _, name := range r.machines {
			if machines[name] != nil {
				continue
			}
			m, err := prepare(name, shell, installed, self)
			if err != nil {
				return "", fmt.Errorf("machine %q: %w", name, err)
			}
			defer m.Close()
			machines[name] = m
		}
	}
	fmt.Fprintln(table, "what\tbeside\tours\ttheirs\tratio\ttheirs against itself\truns")
	for _, r := range rows {
		times := make([][]time.Duration, len(r.machines))
		if os.Getenv("BENCH_SMOKE") != "" {
			r.rounds = 1
		}
		for range r.rounds {
			for i, name := range r.machines {
				found, err := measure(machines[name], r)
				if err != nil {
					return "", fmt.Errorf("%s: %w", r.what, err)
				}
				times[i] = append(times[i], found...)
			}
		}
		noise := ""
		if len(times) > 2 {
			noise = fmt.Sprintf("%.3f", ratio(times[2], times[1]))
		}
		fmt.Fprintf(table, "%s\t%s\t%.2f ms\t%.2f ms\t%.3f\t%s\t%d\n", r.what, r.beside,
			milliseconds(median(times[0])), milliseconds(median(times[1])), ratio(times[0], times[1]), noise, len(times[0]))
	}
	for _, m := range machines {
		return strings.TrimSpace(m.Run("openrc --version").Stdout), nil
	}
	return "", errors.New("no row has that in its name")
}

func prepare(name, shell, installed, self string) (*machine.Machine, error) {
	m, err := machine.Start(machine.Options{Shell: shell})
	if err != nil {
		return nil, err
	}
	script := "chmod 755 /etc/init.d/plain /etc/init.d/confined; rm $(grep -L openrc-run /etc/init.d/*); ip netns add vpn; echo netns=vpn >/etc/conf.d/confined"
	if name == "gate" || name == "many" {
		err = m.Install(installed)
	}
	if name == "patched" {
		script += "\n" + patch
	}
	if strings.HasPrefix(name, "many") {
		script += "\n" + manyServices
	}
	for file, text := range map[string]string{"/etc/init.d/plain": plainScript, "/etc/init.d/confined": confinedScript, "/usr/local/bin/bench": self} {
		if err == nil {
			err = m.WriteFile(file, 0o755, text)
		}
	}
	if err == nil {
		// OpenRC takes what was written in this second for older than what it
		// knows.
		err = m.Run("set -e; " + script + "\nsleep 1; rc-update -u; rc-service confined start").Err()
	}
	if err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func measure(m *machine.Machine, r row) (times []time.Duration, err error) {
	result := m.Run(fmt.Sprintf("/usr/local/bin/bench time %d '%s' '%s'", each, r.before, r.command))
	if err := result.Err(); err != nil {
		return nil, err
	}
	for _, word := range strings.Fields(result.Stdout) {
		t, err := time.ParseDuration(word)
		if err != nil {
			return nil, err
		}
		times = append(times, t)
	}
	return times, nil
}

// clock prints how long a command takes, as often as told. In a machine.
func clock(times, before, command string) error {
	n := 0
	if _, err := fmt.Sscan(times, &n); err != nil {
		return err
	}
	prepare, argv := strings.Fields(before), strings.Fields(command)
	for range n {
		if prepare[0] != ":" {
			if out, err := exec.Command(prepare[0], prepare[1:]...).CombinedOutput(); err != nil {
				return fmt.Errorf("%s: %w: %s", before, err, out)
			}
		}
		cmd := exec.Command(argv[0], argv[1:]...)
		began := time.Now()
		err := cmd.Run()
		took := time.Since(began)
		if code := cmd.ProcessState.ExitCode(); err != nil && (code != 3 || argv[len(argv)-1] != "status") { // 3: stopped
			return fmt.Errorf("%s: %w", command, err)
		}
		fmt.Println(took)
	}
	return nil
}

func median(times []time.Duration) time.Duration {
	sorted := slices.SortedFunc(slices.Values(times), cmp.Compare[time.Duration])
	return sorted[len(sorted)/2]
}

func ratio(a, b []time.Duration) float64 { return float64(median(a)) / float64(median(b)) }

func milliseconds(t time.Duration) float64 { return float64(t) / float64(time.Millisecond) }
