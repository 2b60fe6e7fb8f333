package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/egress"
	"openrc-netns/internal/files"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/terminal"
)

// printEgress shows where the packets of services and network namespaces would
// leave, and returns the status to exit with.
func printEgress(args []string) int {
	problem, err := runEgress(args)
	return conclude("egress", problem, err)
}

// subject is one that is asked about.
type subject struct {
	name string
	egress.Subject
	// claimed is a process that only says that it is of the service, and is not
	// looked at; 0 if there is none, or one that is.
	claimed int
}

func runEgress(args []string) (problem bool, err error) {
	var asJSON bool
	flags := pflag.NewFlagSet("egress", pflag.ContinueOnError)
	flags.Usage = func() {}
	flags.BoolVar(&asJSON, "json", false, "")
	if err := flags.Parse(args); err != nil {
		return false, fmt.Errorf("%w; see: rc-netns --help", err)
	}
	if err := privilege.CheckSecure(); err != nil {
		return false, err
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		return false, err
	}
	if err := mounts.EnterHost(); err != nil {
		return false, err
	}
	subjects, err := egressSubjects(flags.Args())
	if err != nil {
		return false, err
	}
	document := egressJSON{Version: egressSchema, Subjects: []egressSubjectJSON{}}
	var lines []string
	var run egress.Run
	allPublished := audit.Published()
	for i, s := range subjects {
		report, err := run.Look(s.Subject)
		var entries []publish.Entry
		if err == nil {
			var ns *namespace.Namespace
			if ns, err = namespace.Open(s.Netns); err == nil {
				entries = allPublished[ns.Inode()]
				ns.Close()
			}
		}
		switch {
		case err != nil && s.PID == 0 && s.claimed == 0:
			return false, fmt.Errorf("%s: %w", s.name, err)
		case err != nil:
			// A process may end, or keep from being looked at: the others are
			// shown.
			report = &egress.Report{Verdict: egress.NotLookedAt, NotLookedAt: []string{err.Error()}}
		}
		problem = problem || report.Verdict == egress.Leak || len(report.NotLookedAt) > 0
		described := describeEgress(s, report)
		described.Published = describePublished(entries)
		document.Subjects = append(document.Subjects, described)
		if i > 0 {
			lines = append(lines, "")
		}
		lines = append(lines, egressLines(s, report)...)
		for _, e := range entries {
			lines = append(lines, "  "+clean(published(e)))
		}
	}
	if len(subjects) == 0 {
		lines = append(lines, "no confined service runs")
	}
	text := strings.Join(lines, "\n") + "\n"
	if asJSON {
		if text, err = encode(document); err != nil {
			return false, err
		}
	}
	return problem, write(text)
}

// egressSubjects finds the services and namespaces of these names, or else all
// confined services that run.
func egressSubjects(names []string) ([]subject, error) {
	var subjects []subject
	all := len(names) == 0
	if all {
		var err error
		if names, err = openrc.Services(); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		s, err := egressSubject(name, all)
		if err != nil {
			return nil, err
		}
		if s != nil && !(all && s.PID == 0 && s.claimed == 0) {
			subjects = append(subjects, *s)
		}
	}
	return subjects, nil
}

// egressSubject returns nil for a service that is not confined, where all are
// asked for.
func egressSubject(name string, all bool) (*subject, error) {
	record, err := openrc.ReadRecord(name)
	if err != nil && !all {
		return nil, err
	}
	if record == nil && !openrc.HasScript(name) {
		if slices.Contains(namespace.Names(), name) || strings.HasPrefix(name, "/") {
			return &subject{name: name, Subject: egress.Subject{Netns: name}}, nil
		}
		return nil, fmt.Errorf("%q is neither a service nor a network namespace", name)
	}
	s := &subject{name: name}
	settings, err := serviceconf.Read(name)
	switch {
	case err == nil && settings.Confined():
		s.Netns, s.VRF = settings.Netns, settings.VRF
	case record == nil && all:
		return nil, nil
	case record == nil && err != nil && !errors.As(err, new(*serviceconf.NotExistError)):
		return nil, err
	case record == nil:
		return nil, fmt.Errorf("service %q is not confined: %s sets none of netns, vrf and netns_lock for it", name, rcdir.Conf)
	default:
		s.Netns = record.Netns
	}
	daemons := openrc.ReadDaemons(name)
	for _, pid := range append([]int{daemons.Child}, daemons.PIDs...) { // the daemon, not what supervises it
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); pid <= 1 || err != nil {
			continue
		}
		if record != nil && record.Holds(name, pid) && files.NSLink(pid, "net") == fmt.Sprintf("net:[%d]", record.ID.Inode) {
			// Where it is counts, and not where its name leads now.
			s.PID, s.Netns, s.claimed = pid, files.Proc(pid)+"/ns/net", 0
			break
		}
		s.claimed = pid
	}
	if s.Netns == "" {
		s.Netns = namespace.Host
	}
	return s, nil
}

// egressLines is a report for people.
func egressLines(s subject, r *egress.Report) []string {
	t, _ := terminal.Of(os.Stdout)
	colour := map[egress.Verdict]string{egress.TunnelOnly: sgrGreen, egress.NoWayOut: sgrGreen, egress.Leak: sgrRed, egress.NotLookedAt: sgrRed}[r.Verdict]
	first := clean(s.name) + ": " + paint(egressVerdict(r), colour, t.Colour)
	switch {
	case s.PID != 0:
		first += fmt.Sprintf(" (process %d)", s.PID)
	case s.claimed != 0:
		first += fmt.Sprintf(" (the namespace: process %d is claimed)", s.claimed)
	}
	lines := []string{first}
	for _, route := range r.Routes {
		lines = append(lines, fmt.Sprintf("  %s: %s", route.Family, egressRoute(route)))
	}
	for _, resolver := range r.Resolvers {
		if resolver.Route.Family == "" {
			continue // it is among what was not looked at
		}
		lines = append(lines, fmt.Sprintf("  DNS %s: %s", clean(resolver.Address), egressRoute(resolver.Route)))
	}
	for _, socket := range r.Sockets {
		lines = append(lines, fmt.Sprintf("  DNS %s: a socket in the file system, which may answer from another network", socket))
	}
	for _, exit := range r.Exits {
		text := fmt.Sprintf("  %s: %s", clean(exit.Interface), clean(exit.Kind))
		if exit.Leads != "" && exit.Leads != "WireGuard" {
			text += " " + clean(exit.Leads)
		}
		lines = append(lines, text+", leads to "+egressList(exit.To))
		for _, peer := range exit.Peers {
			lines = append(lines, "    "+egressPeer(peer))
		}
	}
	for _, what := range r.NotLookedAt {
		lines = append(lines, "  not looked at: "+clean(what))
	}
	return lines
}

// egressVerdict is the verdict in words.
func egressVerdict(r *egress.Report) string {
	var tunnels, others []string
	for _, exit := range r.Exits {
		if exit.Tunnel {
			tunnels = append(tunnels, exit.Interface)
		} else {
			others = append(others, exit.Interface)
		}
	}
	others = append(others, r.Sockets...)
	switch r.Verdict {
	case egress.NoWayOut:
		return "no way out"
	case egress.TunnelOnly:
		return "tunnel only, through " + clean(tunnels[0])
	case egress.NotLookedAt:
		return "not looked at as a whole"
	case egress.NoTunnel:
		return "through " + clean(strings.Join(others, ", ")) + ", no tunnel"
	}
	if len(tunnels) > 1 {
		others = append(tunnels[1:], others...)
	}
	if len(tunnels) == 0 {
		return "through " + clean(strings.Join(others, ", "))
	}
	return "through " + clean(tunnels[0]) + ", also through " + clean(strings.Join(others, ", "))
}

func egressRoute(r egress.Route) string {
	if r.Interface == "" {
		return "no route"
	}
	text := "through " + clean(r.Interface)
	if r.Gateway != nil {
		text += " by " + r.Gateway.String()
	}
	if r.Source != nil {
		text += " from " + r.Source.String()
	}
	return text
}

func egressList(to []string) string {
	const few = 4
	if more := len(to) - few; more > 0 {
		to = append(slices.Clone(to[:few]), fmt.Sprintf("%d more", more))
	}
	return strings.Join(to, ", ")
}

func egressPeer(p egress.Peer) string {
	if p.Endpoint == "" {
		return "peer: not heard of yet"
	}
	text := "peer " + clean(p.Endpoint)
	if p.Through.Interface != "" {
		from := "from the host's network"
		if p.OwnNetwork {
			from = "from there"
		}
		text += ", " + from + " " + egressRoute(p.Through)
	}
	if p.Handshake < 0 {
		return text + ", no handshake yet"
	}
	return fmt.Sprintf("%s, last handshake %s ago", text, p.Handshake.Round(time.Second))
}

// egressSchema is the version of what follows, as statusSchema is.
const egressSchema = 1

// These are the JSON of egress. No list in it is null.
type (
	egressJSON struct {
		Version  int                 `json:"version"`
		Subjects []egressSubjectJSON `json:"subjects"`
	}
	egressSubjectJSON struct {
		Name      string               `json:"name"`
		PID       int                  `json:"pid"`
		Verdict   egress.Verdict       `json:"verdict"`
		Routes    []egressRouteJSON    `json:"routes"`
		Resolvers []egressResolverJSON `json:"resolvers"`
		Sockets   []string             `json:"sockets"`
		Exits     []egressExitJSON     `json:"exits"`
		Published []jsonPublished      `json:"published"`
		// What was not looked at, in words.
		NotLookedAt []string `json:"not_looked_at"`
	}
	egressRouteJSON struct {
		Family    string `json:"family"`
		Interface string `json:"interface"`
		Source    string `json:"source"`
		Gateway   string `json:"gateway"`
	}
	egressResolverJSON struct {
		Address string          `json:"address"`
		Route   egressRouteJSON `json:"route"`
	}
	egressExitJSON struct {
		Interface string           `json:"interface"`
		Kind      string           `json:"kind"`
		Tunnel    bool             `json:"tunnel"`
		To        []string         `json:"to"`
		Leads     string           `json:"leads"`
		Peers     []egressPeerJSON `json:"peers"`
	}
	egressPeerJSON struct {
		Endpoint  string          `json:"endpoint"`
		Handshake float64         `json:"handshake_seconds"` // -1: none yet
		Through   egressRouteJSON `json:"through"`
		Host      bool            `json:"through_host"` // that is a route of the host's network
	}
)

func describeEgress(s subject, r *egress.Report) egressSubjectJSON {
	d := egressSubjectJSON{
		Name: s.name, PID: s.PID, Verdict: r.Verdict, Routes: []egressRouteJSON{}, Resolvers: []egressResolverJSON{},
		Sockets: append([]string{}, r.Sockets...), Exits: []egressExitJSON{},
		NotLookedAt: append([]string{}, r.NotLookedAt...),
	}
	for _, route := range r.Routes {
		d.Routes = append(d.Routes, describeRoute(route))
	}
	for _, resolver := range r.Resolvers {
		d.Resolvers = append(d.Resolvers, egressResolverJSON{resolver.Address, describeRoute(resolver.Route)})
	}
	for _, exit := range r.Exits {
		w := egressExitJSON{exit.Interface, exit.Kind, exit.Tunnel, exit.To, exit.Leads, []egressPeerJSON{}}
		for _, peer := range exit.Peers {
			handshake := -1.0
			if peer.Handshake >= 0 {
				handshake = peer.Handshake.Seconds()
			}
			w.Peers = append(w.Peers, egressPeerJSON{peer.Endpoint, handshake, describeRoute(peer.Through), !peer.OwnNetwork})
		}
		d.Exits = append(d.Exits, w)
	}
	return d
}

func describeRoute(r egress.Route) egressRouteJSON {
	address := func(ip []byte, text string) string {
		if ip == nil {
			return ""
		}
		return text
	}
	return egressRouteJSON{r.Family, r.Interface, address(r.Source, r.Source.String()), address(r.Gateway, r.Gateway.String())}
}
