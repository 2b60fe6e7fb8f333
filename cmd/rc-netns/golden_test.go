package main

import (
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/publish"
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
				Interfaces: []audit.Interface{{Name: "lo", Index: 1, Kind: "device", Up: true}, {Name: "tun0", Index: 2, Kind: "veth"}},
				Published: []publish.Entry{
					{Network: publish.TCP, Listen: netip.MustParseAddrPort("127.0.0.1:9091"), Target: netip.MustParseAddrPort("127.0.0.1:9091")},
					{Network: publish.Unix, Path: "/run/web.sock", Target: netip.MustParseAddrPort("[::1]:80")},
				}},
		},
		Unseen: audit.Unseen{Everybody: true, Processes: 1, Programs: 2, Files: 1, Settings: 3, Namespaces: 1},
	}
	add := func(name string, settings *openrc.Settings, record *openrc.Record, state openrc.State, remedy finding.Remedy, findings ...finding.Finding) *audit.Service {
		s := audit.Service{Name: name, State: state, Settings: settings, Record: record, Findings: findings, Remedy: remedy, Verdict: audit.OK}
		if settings != nil {
			s.Netns = settings.Netns
		}
		if len(findings) > 0 {
			s.Verdict = audit.Verdict(findings[0].Gravity)
		}
		report.Services = append(report.Services, s)
		return &report.Services[len(report.Services)-1]
	}
	restarted := func(settings *openrc.Settings, name string, findings ...finding.Finding) *audit.Service {
		return add(name, settings, &record, openrc.Started, finding.Run("rc-service", name, "restart"), findings...)
	}
	outside := func(id finding.ID, args ...any) finding.Finding {
		return finding.Finding{ID: id, Gravity: finding.Outside, Args: args}
	}
	ofSockets := func(id finding.ID, args ...any) finding.Finding {
		return finding.Finding{ID: id, Gravity: finding.Sockets, Args: args}
	}
	etc := func(id finding.ID, name string) finding.Finding {
		return finding.Finding{ID: id, Gravity: finding.Files, Args: []any{"/etc/" + name, "/etc/netns/vpn/" + name}}
	}
	stale := func(id finding.ID, args ...any) finding.Finding {
		return finding.Finding{ID: id, Gravity: finding.Stale, Args: args}
	}
	missing := func(id finding.ID, args ...any) finding.Finding {
		return finding.Finding{ID: id, Gravity: finding.Missing, Args: args}
	}
	var none finding.Remedy
	const odd = "it's a name"
	create := finding.Run("ip", "netns", "delete", "vpn").Run("ip", "netns", "add", "vpn")

	add("ok", &mgmt, &record, openrc.Started, none).Processes = []audit.Process{inside, hidden}
	add("stopped", &vpn, nil, openrc.Stopped, none).Verdict = audit.Stopped
	restarted(&vpn, "outside", outside(finding.ProcessesOutside, []audit.Process{sleeper}, sleeper)).Processes = []audit.Process{sleeper}
	add("stray", &vpn, &record, openrc.Started, finding.Run("kill", "20", "21", "22", "23", "24", "25", "26", "12"),
		outside(finding.ProcessesOutside, many, many[0]), outside(finding.ProcessesOutside, []audit.Process{sleeper}, sleeper))
	restarted(&vpn, "never", outside(finding.NeverEntered, finding.Place("vpn"))).Record = nil
	restarted(&vpn, "changed", outside(finding.SettingsChanged, finding.Place(""), finding.Place("vpn"))).Record = &openrc.Record{}
	add("host", &vpn, &record, openrc.Started, create.Run("rc-service", "host", "restart"), outside(finding.NamespaceHost, "vpn"))
	restarted(&mgmt, "not-bound", ofSockets(finding.NotBound))
	restarted(&mgmt, "no-program", ofSockets(finding.NoProgram, "/openrc.daemon"), ofSockets(finding.LeftCgroup, []audit.Process{sleeper, inside}, "/openrc.daemon"))
	restarted(&mgmt, "gone", ofSockets(finding.VRFGone, finding.VRF("mgmt")))
	restarted(&mgmt, "other-device", ofSockets(finding.VRFRecreated, finding.VRF("mgmt")))
	restarted(&mgmt, "other-vrf", ofSockets(finding.VRFChanged, "blue", "mgmt"))
	restarted(&vpn, "still-bound", ofSockets(finding.VRFUnset))
	restarted(&mgmt, "socket", ofSockets(finding.SocketsUnbound, sockets[:1], finding.VRF("mgmt")))
	restarted(&mgmt, "sockets", ofSockets(finding.SocketsUnbound, append(sockets[:3:3], audit.Socket{Protocol: "raw", Port: 89}), finding.VRF("mgmt")),
		ofSockets(finding.SocketsUnbound, sockets, finding.VRF("mgmt")))
	restarted(&vpn, "lock", ofSockets(finding.NotLocked), ofSockets(finding.StillLocked))
	add("etc", &vpn, &record, openrc.Started, finding.Run("touch", "/etc/my file").Run("rc-service", "etc", "restart"),
		etc(finding.EtcHost, "resolv.conf"), etc(finding.EtcReplaced, "hosts"), etc(finding.EtcUnbound, "my file"), etc(finding.EtcUnbound, "motd"))
	add("name-gone", &vpn, &record, openrc.Started, finding.Run("rc-netns", "repair", "name-gone"),
		stale(finding.NameDeletedAlive, "vpn")).Processes = []audit.Process{started}
	add("name-gone-dead", &vpn, &record, openrc.Started, finding.Run("ip", "netns", "add", "vpn").Run("rc-service", "name-gone-dead", "restart"), stale(finding.NameDeleted, "vpn"))
	restarted(&vpn, "reused", stale(finding.NameReused, "vpn"))
	restarted(&vpn, "no-record", stale(finding.NotOnRecord))
	oddly := openrc.Settings{Netns: odd}
	add("my web", &oddly, nil, openrc.Stopped, finding.Run("ip", "netns", "add", odd), missing(finding.NamespaceMissing, odd))
	add("its web", &oddly, &record, openrc.Started, finding.Run("rm", "/run/netns/"+odd).Run("ip", "netns", "add", odd).Run("rc-service", "its web", "restart"),
		missing(finding.NamespaceStale, odd, "/run/netns/"+odd))
	add("host-missing", &vpn, nil, openrc.Failed, create, missing(finding.NamespaceHost, "vpn"))
	path := openrc.Settings{Netns: "/run/other"}
	add("path", &path, nil, openrc.Stopped, none, missing(finding.NamespaceMissing, "/run/other"))
	add("unusable", &vpn, nil, openrc.Started, none, missing(finding.NamespaceOther, errors.New(`"/run/netns/vpn" is not a network namespace`)))
	crashed := add("crashed", &vpn, &record, openrc.Crashed, none)
	crashed.Verdict = audit.Stopped
	left := add("crashed-left", &vpn, &record, openrc.Crashed, none)
	left.Processes = []audit.Process{{PID: 16, Name: "sh", Host: true, Inode: 4026531840, Position: audit.Session}, {PID: 17, Name: "tab", Inode: 4026532009, Position: audit.Private}}
	add("pidfile", &vpn, &record, openrc.Started, none).NoPidfile = true
	idle := add("idle", nil, nil, openrc.Started, none)
	idle.Idle, idle.Verdict = true, audit.Unknown
	idle.SettingsError, idle.RecordError = errors.New(`/etc/conf.d/idle: line 1: "netns" takes its value from a command; write the value itself`), errors.New("cannot tell where the service was started")
	return report
}

// What status prints on a wide terminal, to OpenRC and to programs; and a line
// of each kind on a narrow terminal.
func TestStatusGolden(t *testing.T) {
	report := audited()
	text := strings.Join((&statusOptions{}).lines(report, 0, false), "\n") + "\n-- for OpenRC --\n"
	for i := range report.Services {
		text += report.Services[i].Name + ": " + forOpenRC(&report.Services[i])
	}
	encoded, err := encode(describe(report))
	if err != nil {
		t.Fatal(err)
	}
	text += "-- JSON --\n" + regexp.MustCompile(`\n( {5,}|    })`).ReplaceAllStringFunc(encoded, func(s string) string { return " " + strings.TrimSpace(s) })
	report.Services = slices.DeleteFunc(report.Services, func(s audit.Service) bool {
		return !slices.Contains([]string{"ok", "stray", "host", "other-device", "my web", "crashed-left", "idle"}, s.Name)
	})
	narrow := (&statusOptions{services: []string{"all"}}).lines(report, 40, false)
	golden(t, "status.txt", text+"-- 40 columns --\n"+strings.Join(narrow, "\n")+"\n")
}
