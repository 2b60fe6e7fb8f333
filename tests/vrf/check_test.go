package vrf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/vm"
)

// What check says of VRF devices, and that a start does as it says, before and
// after its remedy was applied word for word.
func TestCheck(t *testing.T) {
	g := service(t, vm.Options{})
	check := func() (ids []string, commands []string, edits []string) {
		t.Helper()
		out := g.Run("rc-netns check --json web")
		var report struct {
			Services []struct {
				Findings []struct {
					ID, What string
					Remedy   struct {
						Commands []string
						Edits    []struct {
							Path, Text string
							Line       int
						}
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(out.Stdout), &report); err != nil {
			t.Fatalf("%v in:\n%s", err, out.Output)
		}
		for _, f := range report.Services[0].Findings {
			ids = append(ids, f.ID+": "+f.What)
			commands = append(commands, f.Remedy.Commands...)
			for _, e := range f.Remedy.Edits {
				edits = append(edits, fmt.Sprintf("sed -i '%dc %s' %s", e.Line, e.Text, e.Path))
			}
		}
		equal(t, "status", fmt.Sprint(out.Code), fmt.Sprint(min(1, len(ids))))
		return ids, commands, edits
	}
	for _, test := range []struct{ conf, want, remedy, device string }{
		{"netns=vpn\nvrf=mgmt", "", "", "mgmt"},
		{"vrf=host", "", "", "host"},
		{"netns=vpn\nvrf=red", `vrf-missing: VRF "red": no such device in this network namespace`,
			"ip -n vpn link add red type vrf table 30; ip -n vpn link set red up", "red"},
		{"netns=vpn\nvrf=host", `vrf-missing: VRF "host": no such device in this network namespace`,
			"ip -n vpn link add host type vrf table 40; ip -n vpn link set host up", "host"},
		{"netns=vpn vrf=to-peer-m", `vrf-other: device "to-peer-m" is not a VRF`,
			"sed -i '1c netns=vpn vrf=mgmt' /etc/conf.d/web", "mgmt"},
		{"netns=vpn\nvrf='mgmt:1'", `vrf-bad-name: bad VRF name "mgmt:1": it cannot be the name of a device`,
			"sed -i '2c vrf=mgmt' /etc/conf.d/web", "mgmt"},
		{"netns=peer-m\nvrf=lo", `vrf-other: device "lo" is not a VRF`,
			"ip -n peer-m link add mgmt type vrf table 10; ip -n peer-m link set mgmt up; sed -i '2c vrf=mgmt' /etc/conf.d/web", "mgmt"},
	} {
		g.conf("web", test.conf)
		ids, commands, edits := check()
		equal(t, test.conf, strings.Join(ids, "\n"), test.want)
		equal(t, test.conf, strings.Join(append(commands, edits...), "; "), test.remedy)
		if test.want != "" {
			_, what, _ := strings.Cut(test.want, ": ")
			contains(t, g.fails("rc-service web start"), what)
			g.sh(test.remedy)
			ids, _, _ := check()
			equal(t, test.conf+", with its remedy", strings.Join(ids, "\n"), "")
		}
		g.sh("rm -f /run/trace; rc-service web start")
		equal(t, test.conf, g.sh("sed -n 's/^start_pre: //p' /run/trace"), test.device)
		g.sh("rc-service web stop")
	}
}
