package bench

import (
	"fmt"
	"math"
	"os"
	"testing"

	"openrc-netns/tests/kit"
)

// crowd is services that have lost their resolv.conf, and what others have piled up
// beside them. Each has a daemon in what the start of one has made.
const crowd = `
	for i in $(seq %[1]d); do
		ln -sf confined /etc/init.d/confined.$i; echo netns=vpn >/etc/conf.d/confined.$i
		mkdir -p /run/openrc/options/confined.$i /sys/fs/cgroup/openrc.confined.$i
		cp /run/openrc/options/confined/netns /run/openrc/options/confined.$i
		ln -sf /etc/init.d/confined.$i /run/openrc/started/
		sh -c "echo 0 >/sys/fs/cgroup/openrc.confined.$i/cgroup.procs
			exec nsenter --mount=/proc/$(cat /run/confined.pid)/ns/mnt --net=/run/netns/vpn sleep 3600" </dev/null >/dev/null 2>&1 &
	done
	for i in $(seq %[2]d); do sleep 3600 </dev/null >/dev/null 2>&1 & done
	for i in $(seq %[3]d); do ip netns add crowd$i; done
	until [ $(pgrep -xc sleep) -gt $((%[1]d + %[2]d)) ]; do sleep 0.5; done
	cp /etc/resolv.conf /etc/new; mv /etc/new /etc/resolv.conf`

// What only looks costs what it shows, and not what others have piled up: beside a
// fork and exec of true, and with the exponent from a tenth of the services on, which
// is 1 where ten times as many take ten times as long.
func BenchmarkLooks(b *testing.B) {
	before := map[string]float64{} // milliseconds, with a tenth of the services
	for _, row := range []struct{ services, processes, namespaces int }{
		{1, 0, 0}, {10, 0, 0}, {100, 0, 0}, {1000, 0, 0}, {1, 10000, 0}, {1, 0, 1000}, {300, 5000, 1000},
	} {
		if os.Getenv("BENCH_SMOKE") != "" && row.services+row.processes+row.namespaces > 10 {
			continue
		}
		name := fmt.Sprintf("%d services, %d processes, %d namespaces", row.services, row.processes, row.namespaces)
		b.Run(name, func(b *testing.B) {
			m := start(b, "dash", "ours", "")
			kit.Sh(b, m, "mkdir -p /etc/netns/vpn; echo nameserver 192.0.2.53 >/etc/netns/vpn/resolv.conf; rc-service confined restart >/dev/null"+
				fmt.Sprintf(crowd, row.services, row.processes, row.namespaces))
			sh := func(b testing.TB, script string) string { return kit.Sh(b, m, script) }
			for _, command := range []string{"status", "repair -n", "egress", "check"} {
				ours := timed("ours", sh, "--ignore-failure --runs=1", "rc-netns "+command)
				last, rounds := before[command], 3
				if command == "check" {
					rounds = 1 // it asks a shell for each service
				}
				compare(b, command, "ms", rounds, side{"ours", func(b *testing.B) []float64 {
					times := ours.measure(b)
					if row.processes+row.namespaces == 0 {
						before[command] = times[0]
						if last > 0 {
							b.ReportMetric(math.Log10(times[0]/last), "exponent")
						}
					}
					return times
				}}, timed("true", sh, "--runs=20", "true"))
			}
		})
	}
}
