package bench

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/machine"
)

const plainScript = "#!/sbin/openrc-run\nstart() { :; }\n"

const confinedScript = `#!/sbin/openrc-run
command=/bin/sleep
command_args=3600
command_background=yes
pidfile="/run/$RC_SVCNAME.pid"
`

// kinds are what is done to make machines, beside installing ours: with the
// drop-in, twice without, and with OpenRC's shell files doing what Alpine's
// patches do.
var kinds = map[string]string{
	"ours":       "",
	"no-drop-in": "",
	"again":      "",
	"patched": `
		cd /usr/lib/rc/sh
		sed -i 's/^# load service supervisor functions/[ -z "$netns" ] || RC_VRF_EXEC="ip netns exec $netns"\n&/' openrc-run.sh
		sed -i 's/eval start-stop-daemon --start/eval $RC_VRF_EXEC start-stop-daemon --start/' start-stop-daemon.sh
		grep -q RC_VRF_EXEC openrc-run.sh && grep -q RC_VRF_EXEC start-stop-daemon.sh`,
}

// many services have dependencies of their own to be worked out.
const many = `
	for i in $(seq 200); do
		ln -s confined /etc/init.d/confined.$i
		echo netns=vpn >/etc/conf.d/confined.$i
	done`

// Services without settings beside an OpenRC without the drop-in, and confined
// ones beside one that does what Alpine's two patches do.
func BenchmarkServices(b *testing.B) {
	unconfined, confined := []string{"ours", "no-drop-in", "again"}, []string{"ours", "patched"}
	for _, shell := range []string{"dash", "bash", "busybox"} {
		b.Run(shell, func(b *testing.B) {
			machines := map[string]kit.Machine{}
			for _, row := range []struct {
				what, options, command string
				rounds                 int
				more                   string // is done on each machine
				kinds                  []string
			}{
				{"unconfined describe", "", "rc-service plain describe", 12, "", unconfined},
				{"unconfined status", "", "rc-service plain status", 12, "", unconfined},
				{"unconfined start", "--prepare='rc-service plain stop'", "rc-service plain start", 12, "", unconfined},
				{"confined start", "--prepare='rc-service confined stop'", "rc-service confined start", 12, "", confined},
				{"confined status", "", "rc-service confined status", 12, "", confined},
				{"rc-update -u, 200 confined", "", "rc-update -u", 3, many, unconfined},
			} {
				var sides []side
				for _, kind := range row.kinds {
					sides = append(sides, timed(kind, func(inner testing.TB, script string) string {
						key := kind + row.more
						if machines[key] == nil {
							machines[key] = start(b, shell, kind, row.more)
						}
						return kit.Sh(inner, machines[key], script)
					}, "--runs=5 "+row.options, row.command))
				}
				compare(b, row.what, "ms", row.rounds, sides...)
			}
		})
	}
}

// start makes a machine with the services plain and confined, and more.
func start(b *testing.B, shell, kind, more string) kit.Machine {
	m := kit.StartMachine(b, machine.Options{Shell: shell, Log: io.Discard})
	h := kit.Host{Machine: m, T: b}
	if kind == "ours" {
		if err := m.Install(installed); err != nil {
			b.Fatal(err)
		}
	}
	hyperfine, err := os.ReadFile(strings.TrimSpace(here(b, "command -v hyperfine")))
	if err == nil {
		err = m.WriteFile("/usr/bin/hyperfine", 0o755, string(hyperfine))
	}
	if err != nil {
		b.Fatal(err)
	}
	h.Write("/etc/init.d/plain", plainScript)
	h.Write("/etc/init.d/confined", confinedScript)
	h.Conf("confined", "netns=vpn")
	// OpenRC takes what was written in this second for older than what it knows.
	h.Sh("set -e; rm $(grep -L openrc-run /etc/init.d/*); ip netns add vpn\n" + kinds[kind] + more + `
		sleep 1; rc-update -u; rc-service plain start; rc-service confined start`)
	if kind == "ours" && more == "" {
		fmt.Printf("%s with %s, %s\n", h.Sh("openrc --version"), shell, h.Sh("uname -sr"))
	}
	return m
}
