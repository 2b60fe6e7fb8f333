package vrf

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"openrc-netns/tests/kit"
	"openrc-netns/tests/vm"
)

// What check says of VRF devices, and that a start does as it says, before and
// after its remedy was applied word for word.
func TestCheck(t *testing.T) {
	kit.Whole(t)
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
		kit.Equal(t, "status", fmt.Sprint(out.Code), fmt.Sprint(min(1, len(ids))))
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
		g.Conf("web", test.conf)
		ids, commands, edits := check()
		kit.Equal(t, test.conf, strings.Join(ids, "\n"), test.want)
		kit.Equal(t, test.conf, strings.Join(append(commands, edits...), "; "), test.remedy)
		if test.want != "" {
			_, what, _ := strings.Cut(test.want, ": ")
			kit.Contains(t, g.Fails("rc-service web start"), what)
			g.Sh(test.remedy)
			ids, _, _ := check()
			kit.Equal(t, test.conf+", with its remedy", strings.Join(ids, "\n"), "")
		}
		g.Sh("rm -f /run/trace; rc-service web start")
		kit.Equal(t, test.conf, g.Sh("sed -n 's/^start_pre: //p' /run/trace"), test.device)
		g.Sh("rc-service web stop")
	}
}
