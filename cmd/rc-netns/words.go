package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
)

// The words for what the audit has found.

// where says where a process is.
func where(p audit.Process) string {
	switch {
	case p.Host:
		return "on the host's network"
	case p.Netns != "":
		return fmt.Sprintf("in network namespace %q", p.Netns)
	case p.Inode == 0:
		return "where only root can see"
	}
	return fmt.Sprintf("in a network namespace without a name, net:[%d]", p.Inode)
}

// place says where a setting leads.
func place(netns string) string {
	if netns == "" {
		return "on the host's network"
	}
	return fmt.Sprintf("in network namespace %q", netns)
}

// list names processes, and of many the first few.
func list(processes []audit.Process) (names, verb string) {
	const few = 5
	var each []string
	for _, p := range processes[:min(few, len(processes))] {
		each = append(each, fmt.Sprintf("%d (%s)", p.PID, p.Name))
	}
	if more := len(processes) - few; more > 0 {
		each = append(each, fmt.Sprintf("%d more", more))
	}
	if len(processes) == 1 {
		return "process " + each[0], "is"
	}
	return "processes " + strings.Join(each, ", "), "are"
}

// unbound names ports.
func unbound(sockets []audit.Socket) string {
	const few = 5
	var each []string
	for _, s := range sockets[:min(few, len(sockets))] {
		what := fmt.Sprintf("%s port %d", s.Protocol, s.Port)
		if s.Protocol == "raw" {
			what = fmt.Sprintf("raw socket of protocol %d", s.Port)
		}
		each = append(each, what)
	}
	if more := len(sockets) - few; more > 0 {
		each = append(each, fmt.Sprintf("%d more", more))
	}
	if len(each) == 1 {
		return "its " + each[0] + " is"
	}
	return "its " + strings.Join(each, ", ") + " are"
}

// sentence says what is wrong.
func sentence(s *audit.Service, p audit.Problem) string {
	etc := "/etc/" + p.File
	source := filepath.Join("/etc/netns", namespace.BaseName(s.Netns), p.File)
	vrf, cgroup, started := "", "", ""
	if s.Settings != nil && s.Settings.VRF != "" {
		vrf = fmt.Sprintf(" %q", s.Settings.VRF)
	}
	if s.Record != nil {
		cgroup, started = s.Record.Cgroup, s.Record.Netns
	}
	names, verb := "", ""
	if len(p.Processes) > 0 {
		names, verb = list(p.Processes)
	}
	switch p.Reason {
	case audit.ProcessesOutside:
		return fmt.Sprintf("%s %s %s", names, verb, where(p.Processes[0]))
	case audit.NeverEntered:
		return fmt.Sprintf("it was not started %s: what it has set up is outside", place(s.Netns))
	case audit.SettingsChanged:
		return fmt.Sprintf("it was started %s, and its settings say by now: %s", place(started), place(s.Netns))
	case audit.IsHost:
		return fmt.Sprintf("network namespace %q is the host's own", s.Netns)
	case audit.NotBound:
		return "it was started before vrf or netns_lock was set: its sockets are not bound"
	case audit.NoProgram:
		return fmt.Sprintf("no BPF program of ours is on its cgroup %s: new sockets are not bound", cgroup)
	case audit.LeftCgroup:
		return fmt.Sprintf("%s %s not in its cgroup %s: new sockets are not bound", names, verb, cgroup)
	case audit.DeviceGone:
		return fmt.Sprintf("VRF%s does not exist any more: make it again first", vrf)
	case audit.OtherDevice:
		return fmt.Sprintf("its sockets are bound to a device that has gone: VRF%s was made anew since the start", vrf)
	case audit.OtherVRF:
		return fmt.Sprintf("its sockets are bound to VRF %q, and its settings say by now:%s", p.VRF, vrf)
	case audit.StillBound:
		return "its sockets are bound to a VRF, and its settings name none by now"
	case audit.SocketUnbound:
		return unbound(p.Sockets) + " not bound to VRF" + vrf + ": it hears other networks"
	case audit.NotLocked:
		return "it is not locked: netns_lock was set after the start"
	case audit.StillLocked:
		return "it is locked, and its settings do not ask for it by now"
	case audit.HostsFile:
		return fmt.Sprintf("it sees the host's %s and not %s", etc, source)
	case audit.OtherFile:
		return fmt.Sprintf("it sees another %s than %s, which was replaced since the start", etc, source)
	case audit.NoFile:
		return fmt.Sprintf("it sees no %s: %s is no longer bound over it", etc, source)
	case audit.NameGone:
		text := fmt.Sprintf("the name %q was deleted since the start", s.Netns)
		if len(p.Processes) > 0 {
			return text + ", and it runs on in what had that name"
		}
		return text + ", and nothing of it runs where it was started"
	case audit.NameReused:
		return fmt.Sprintf("the name %q leads to another network namespace than at the start", s.Netns)
	case audit.NotExist:
		return fmt.Sprintf("network namespace %q does not exist", s.Netns)
	case audit.NotMounted:
		return fmt.Sprintf("network namespace %q is stale: an ordinary file is in its place", s.Netns)
	}
	return p.Err.Error()
}

// remedy is the command that puts all of it right; empty where there is none to
// give.
func remedy(s *audit.Service) string {
	var steps, kill []string
	restart, running := false, s.State != openrc.Stopped && s.State != openrc.Failed
	for _, p := range s.Problems {
		switch {
		case p.Reason == audit.NotUsable:
			return ""
		case p.Reason == audit.ProcessesOutside && p.Stray:
			for _, process := range p.Processes {
				kill = append(kill, fmt.Sprint(process.PID))
			}
			continue
		case p.Reason == audit.NameGone && len(p.Processes) > 0:
			attach := attachName(s, p)
			if attach == nil {
				return ""
			}
			steps = append(steps, attach...)
			continue
		case p.Verdict == audit.Missing, p.Reason == audit.NameGone, p.Reason == audit.IsHost:
			made, restarts := makeNamespace(s, p)
			if made == nil {
				return ""
			}
			if p.Reason == audit.IsHost {
				steps = append(steps, "ip netns delete "+quote(namespace.BaseName(s.Netns)))
			}
			steps = append(steps, made...)
			if restarts {
				continue
			}
		case p.Reason == audit.NoFile && !p.HostFile:
			steps = append(steps, "touch "+quote("/etc/"+p.File))
		}
		restart = restart || running
	}
	if restart {
		steps = append(steps, "rc-service "+quote(s.Name)+" restart")
	}
	if len(kill) > 0 {
		steps = append(steps, "kill "+strings.Join(kill, " "))
	}
	return strings.Join(steps, " && ")
}

// attachName are the commands that give the network namespace in which s lives on
// its name again, with all that is set up in it. A new one would be empty.
func attachName(s *audit.Service, p audit.Problem) (steps []string) {
	name := namespace.BaseName(s.Netns)
	if name == "" {
		return nil
	}
	var stale *namespace.StaleError
	if errors.As(p.Err, &stale) {
		steps = append(steps, "rm "+quote(stale.Path))
	}
	return append(steps, fmt.Sprintf("ip netns attach %s %d", quote(name), p.Processes[0].PID))
}

// makesEmpty reports whether the remedy makes a network namespace that nobody sets
// up.
func makesEmpty(s *audit.Service) bool {
	return strings.Contains(remedy(s), "ip netns add ")
}

// makeNamespace are the commands that make the namespace of s. One that restarts
// the service that makes it restarts s as well, which needs that.
func makeNamespace(s *audit.Service, p audit.Problem) (steps []string, restarts bool) {
	name := namespace.BaseName(s.Netns)
	if name == "" {
		return nil, false
	}
	maker, state := s.Maker()
	switch {
	case maker != "" && state == openrc.Started:
		return []string{"rc-service " + quote(maker) + " restart"}, true
	case maker != "":
		return []string{"rc-service " + quote(maker) + " start"}, false
	}
	var stale *namespace.StaleError
	if errors.As(p.Err, &stale) {
		steps = append(steps, "rm "+quote(stale.Path))
	}
	return append(steps, "ip netns add "+quote(name)), false
}

// quote makes a word of text that a shell takes as it is.
func quote(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:@%+", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// remarks say what is not wrong and ought to be known.
func remarks(s *audit.Service) []string {
	var result []string
	shown := "; shown is what the start has recorded"
	if s.Record == nil {
		shown = ", and no start has recorded any"
	}
	switch {
	case s.SettingsError != nil:
		result = append(result, fmt.Sprintf("settings unknown: %v%s", s.SettingsError, shown))
	case s.Settings == nil:
		result = append(result, "no settings in "+openrc.ConfDir+shown)
	}
	if s.RecordError != nil {
		result = append(result, s.RecordError.Error())
	}
	switch {
	case s.State == openrc.Crashed && len(s.Processes) > 0:
		names, verb := list(s.Processes)
		result = append(result, fmt.Sprintf("it is on record as started, and the daemon in its pidfile is gone; %s %s left", names, verb))
	case s.State == openrc.Crashed:
		result = append(result, "it is on record as started, and its daemon is gone")
	case s.NoPidfile:
		result = append(result, "its pidfile is missing, which OpenRC takes for a crash")
	case s.Idle:
		result = append(result, "it is on record as started, and no process of it is there: its daemon has died, or its start was content with one that runs elsewhere")
	}
	if makesEmpty(s) {
		result = append(result, "a network namespace that ip netns add makes is empty: set up in it what the service needs first")
	}
	for _, p := range s.Processes {
		names, _ := list([]audit.Process{p})
		switch p.Position {
		case audit.Session:
			result = append(result, fmt.Sprintf("%s is a person's, %s", names, where(p)))
		case audit.Private:
			result = append(result, fmt.Sprintf("%s is %s", names, where(p)))
		}
	}
	return result
}

// unseen says what could not be looked at.
func unseen(u audit.Unseen) []string {
	var result []string
	add := func(n int, one, many string) {
		switch {
		case n == 1:
			result = append(result, one+": run as root")
		case n > 1:
			result = append(result, fmt.Sprintf(many, n)+": run as root")
		}
	}
	if u.Everybody {
		result = append(result, "processes of other users are hidden: run as root")
	}
	add(u.Processes, "1 process of another user could not be looked at", "%d processes of other users could not be looked at")
	add(u.Settings, "the settings of 1 service could not be read", "the settings of %d services could not be read")
	add(u.Programs, "what binds the sockets of 1 service could not be looked at", "what binds the sockets of %d services could not be looked at")
	add(u.Files, "what 1 service sees in /etc could not be looked at", "what %d services see in /etc could not be looked at")
	add(u.Namespaces, "the interfaces of 1 network namespace could not be listed", "the interfaces of %d network namespaces could not be listed")
	return result
}

// statusLines are for the status action of a service, where it says nothing of
// this: where the service runs, and what is wrong; nothing of a stopped one. That
// the name leads elsewhere by now the action has said already.
func statusLines(s *audit.Service) (info string, warnings []string) {
	if s.Verdict == audit.Stopped || s.Verdict == audit.Missing && len(s.Processes) == 0 {
		return "", nil
	}
	var places []string
	for _, p := range s.Processes {
		if at := where(p); p.Position != audit.Session && p.Position != audit.Private && !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	switch {
	case len(places) > 0:
		info = "runs " + strings.Join(places, " and ")
	case s.Record != nil:
		info = "was started " + place(s.Record.Netns)
	}
	if info != "" && s.Verdict == audit.OK && s.Settings != nil && s.Settings.VRF != "" {
		info += fmt.Sprintf(", its sockets are bound to VRF %q", s.Settings.VRF)
	}
	for _, p := range s.Problems {
		if p.Verdict == audit.Stale {
			info = ""
			continue
		}
		warnings = append(warnings, sentence(s, p))
	}
	if s.Idle {
		warnings = append(warnings, "no process of it is there")
	}
	command, lead := remedy(s), mendWith
	if makesEmpty(s) {
		lead = "mend it, setting up the new network namespace before the service is started there, with:"
	}
	switch {
	case command == "":
	case len(warnings) > 0:
		warnings[len(warnings)-1] += "; " + lead + " " + command
	default:
		warnings = []string{lead + " " + command}
	}
	return info, warnings
}

// forOpenRC is what openrc-netns-hook(8) asks for: where the service runs, then a
// warning a line.
func forOpenRC(s *audit.Service) string {
	info, warnings := statusLines(s)
	var text strings.Builder
	for _, line := range append([]string{info}, warnings...) {
		text.WriteString(clean(line) + "\n")
	}
	return text.String()
}

const mendWith = "mend it with:"
