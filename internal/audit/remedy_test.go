package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
)

// Of all findings there is one remedy: a restart once, what comes before it
// first, and what strays ended last.
func TestRemedyOfSeveralFindings(t *testing.T) {
	s := &Service{Name: "web", Netns: "vpn", State: openrc.Started, bystander: func() bool { return false }}
	s.add(finding.Outside, finding.ProcessesOutside, end([]Process{{PID: 12}, {PID: 13}}))
	s.addRestart(finding.Sockets, finding.NotBound)
	s.add(finding.Files, finding.EtcUnbound, s.restart(finding.Run("touch", "/etc/motd")))
	s.add(finding.Outside, finding.ProcessesOutside, end([]Process{{PID: 14}}))
	want := finding.Run("touch", "/etc/motd").Run("rc-service", "web", "restart").Run("kill", "12", "13", "14")
	if diff := cmp.Diff(want, s.remedy()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	s.add(finding.Missing, finding.NamespaceOther, finding.Remedy{})
	if got := s.remedy(); got.Commands != nil {
		t.Errorf("with one for which there is none: %v", got)
	}

	s = &Service{Name: "web", Netns: "vpn", State: openrc.Stopped}
	s.add(finding.Missing, finding.NamespaceMissing, s.create(finding.Remedy{}, nil))
	s.Remedy = s.remedy()
	if diff := cmp.Diff(finding.Run("ip", "netns", "add", "vpn"), s.Remedy); diff != "" || s.MakesEmpty() != "ip netns add" {
		t.Errorf("stopped (-want +got):\n%s", diff)
	}
}
