package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares a text with that of a file.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// audited is a report with all that may be wrong.
func audited() *audit.Report {
	sleeper := audit.Process{PID: 12, Name: "sleeper", Host: true, Inode: 4026531840, Position: audit.Elsewhere}
	inside := audit.Process{PID: 13, Name: "sleeper", Netns: "vpn", Inode: 4026532000, Position: audit.Inside}
	started := audit.Process{PID: 14, Name: "a b", Inode: 4026532001, Position: audit.Started}
	hidden := audit.Process{PID: 15, Name: "top", Position: audit.Hidden}
	var many []audit.Process
	for pid := 20; pid < 27; pid++ {
		many = append(many, audit.Process{PID: pid, Name: "worker", Netns: "mgmt", Inode: 4026532002, Position: audit.Elsewhere})
	}
	var sockets []audit.Socket
	for port := 80; port < 87; port++ {
		sockets = append(sockets, audit.Socket{Protocol: "TCP", Port: port})
	}
	vpn := openrc.Settings{Netns: "vpn"}
	mgmt := openrc.Settings{Netns: "vpn", VRF: "mgmt"}
	record := openrc.Record{Netns: "vpn", Cgroup: "/openrc.daemon"}
	report := &audit.Report{
		Namespaces: []audit.Namespace{
			{Name: "old", Err: &namespace.StaleError{Name: "old", Path: "/run/netns/old"}},
			{Name: "vpn", Inode: 4026532000, Services: []string{"sshd", "web"}, Processes: []audit.Process{inside},
				Interfaces: []audit.Interface{{Name: "lo", Index: 1, Kind: "device", Up: true}, {Name: "tun0", Index: 2, Kind: "veth"}}},
		},
		Unseen: audit.Unseen{Everybody: true, Processes: 1, Programs: 2, Files: 1, Settings: 3, Namespaces: 1},
	}
	add := func(name string, settings *openrc.Settings, record *openrc.Record, state openrc.State, problems ...audit.Problem) *audit.Service {
		s := audit.Service{Name: name, State: state, Settings: settings, Record: record, Problems: problems, Verdict: audit.OK}
		if settings != nil {
			s.Netns = settings.Netns
		}
		if len(problems) > 0 {
			s.Verdict = problems[0].Verdict
		}
		report.Services = append(report.Services, s)
		return &report.Services[len(report.Services)-1]
	}
	add("ok", &mgmt, &record, openrc.Started).Processes = []audit.Process{inside, hidden}
	add("stopped", &vpn, nil, openrc.Stopped).Verdict = audit.Stopped
	add("outside", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Outside, Reason: audit.ProcessesOutside, Processes: []audit.Process{sleeper}}).Processes = []audit.Process{sleeper}
	add("stray", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Outside, Reason: audit.ProcessesOutside, Processes: many, Stray: true},
		audit.Problem{Verdict: audit.Outside, Reason: audit.ProcessesOutside, Processes: []audit.Process{sleeper}, Stray: true})
	add("never", &vpn, nil, openrc.Started, audit.Problem{Verdict: audit.Outside, Reason: audit.NeverEntered})
	add("changed", &vpn, &openrc.Record{}, openrc.Started, audit.Problem{Verdict: audit.Outside, Reason: audit.SettingsChanged})
	add("host", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Outside, Reason: audit.IsHost})
	add("not-bound", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.NotBound})
	add("no-program", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.NoProgram},
		audit.Problem{Verdict: audit.Unbound, Reason: audit.LeftCgroup, Processes: []audit.Process{sleeper, inside}})
	add("gone", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.DeviceGone})
	add("other-device", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.OtherDevice})
	add("other-vrf", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.OtherVRF, VRF: "blue"})
	add("still-bound", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.StillBound})
	add("socket", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.SocketUnbound, Sockets: sockets[:1]})
	add("sockets", &mgmt, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.SocketUnbound, Sockets: append(sockets[:3:3], audit.Socket{Protocol: "raw", Port: 89})},
		audit.Problem{Verdict: audit.Unbound, Reason: audit.SocketUnbound, Sockets: sockets})
	add("lock", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Unbound, Reason: audit.NotLocked}, audit.Problem{Verdict: audit.Unbound, Reason: audit.StillLocked})
	add("etc", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.DNS, Reason: audit.HostsFile, File: "resolv.conf"},
		audit.Problem{Verdict: audit.DNS, Reason: audit.OtherFile, File: "hosts"},
		audit.Problem{Verdict: audit.DNS, Reason: audit.NoFile, File: "my file"}, audit.Problem{Verdict: audit.DNS, Reason: audit.NoFile, File: "motd", HostFile: true})
	add("name-gone", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Stale, Reason: audit.NameGone, Err: &namespace.StaleError{Name: "vpn", Path: "/run/netns/vpn"}, Processes: []audit.Process{started}}).Processes = []audit.Process{started}
	add("name-gone-dead", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Stale, Reason: audit.NameGone, Err: &namespace.NotExistError{Name: "vpn"}})
	add("reused", &vpn, &record, openrc.Started, audit.Problem{Verdict: audit.Stale, Reason: audit.NameReused})
	odd := openrc.Settings{Netns: "it's a name"}
	add("my web", &odd, nil, openrc.Stopped, audit.Problem{Verdict: audit.Missing, Reason: audit.NotExist, Err: &namespace.NotExistError{Name: odd.Netns}})
	add("its web", &odd, &record, openrc.Started, audit.Problem{Verdict: audit.Missing, Reason: audit.NotMounted, Err: &namespace.StaleError{Name: odd.Netns, Path: "/run/netns/" + odd.Netns}})
	add("host-missing", &vpn, nil, openrc.Failed, audit.Problem{Verdict: audit.Missing, Reason: audit.IsHost})
	path := openrc.Settings{Netns: "/run/other"}
	add("path", &path, nil, openrc.Stopped, audit.Problem{Verdict: audit.Missing, Reason: audit.NotExist, Err: &namespace.NotExistError{Name: path.Netns}})
	add("unusable", &vpn, nil, openrc.Started, audit.Problem{Verdict: audit.Missing, Reason: audit.NotUsable, Err: errors.New(`"/run/netns/vpn" is not a network namespace`)})
	crashed := add("crashed", &vpn, &record, openrc.Crashed)
	crashed.Verdict = audit.Stopped
	left := add("crashed-left", &vpn, &record, openrc.Crashed)
	left.Processes = []audit.Process{{PID: 16, Name: "sh", Host: true, Inode: 4026531840, Position: audit.Session}, {PID: 17, Name: "tab", Inode: 4026532009, Position: audit.Private}}
	add("pidfile", &vpn, &record, openrc.Started).NoPidfile = true
	idle := add("idle", nil, nil, openrc.Started)
	idle.Idle, idle.Verdict = true, audit.Unknown
	idle.SettingsError, idle.RecordError = errors.New(`/etc/conf.d/idle: line 1: "netns" takes its value from a command; write the value itself`), errors.New("cannot tell where the service was started")
	return report
}

// What status prints on a wide terminal and on a narrow one, to OpenRC and to programs.
func TestStatusGolden(t *testing.T) {
	report := audited()
	var text strings.Builder
	for _, width := range []int{0, 40} {
		o := &statusOptions{}
		if width > 0 {
			o.services = []string{"all"}
		}
		fmt.Fprintf(&text, "-- %d columns --\n%s\n", width, strings.Join(o.lines(report, width, false), "\n"))
	}
	fmt.Fprintln(&text, "-- for OpenRC --")
	for i := range report.Services {
		fmt.Fprintf(&text, "%s: %s", report.Services[i].Name, forOpenRC(&report.Services[i]))
	}
	encoded, err := encode(describe(report))
	if err != nil {
		t.Fatal(err)
	}
	text.WriteString("-- JSON --\n" + regexp.MustCompile(`\n {5,}`).ReplaceAllString(encoded, " "))
	golden(t, "status.txt", text.String())
}
