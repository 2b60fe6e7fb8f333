package main

import (
	"fmt"
	"slices"
	"strings"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
)

// The words for what was found.

// wording is what people are told of a finding: formats for its arguments.
type wording struct{ what string }

var wordings = map[finding.ID]wording{
	finding.ProcessesOutside: {"%s %s"},
	finding.NeverEntered:     {"it was not started %s: what it has set up is outside"},
	finding.SettingsChanged:  {"it was started %s, and its settings say by now: %s"},
	finding.NamespaceHost:    {"network namespace %q is the host's own"},
	finding.NotBound:         {"it was started before vrf or netns_lock was set: its sockets are not bound"},
	finding.NoProgram:        {"no BPF program of ours is on its cgroup %s: new sockets are not bound"},
	finding.LeftCgroup:       {"%s not in its cgroup %s: new sockets are not bound"},
	finding.VRFGone:          {"%s does not exist any more: make it again first"},
	finding.VRFRecreated:     {"its sockets are bound to a device that has gone: %s was made anew since the start"},
	finding.VRFChanged:       {"its sockets are bound to VRF %q, and its settings say by now: %q"},
	finding.VRFUnset:         {"its sockets are bound to a VRF, and its settings name none by now"},
	finding.SocketsUnbound:   {"%s not bound to %s: it hears other networks"},
	finding.NotLocked:        {"it is not locked: netns_lock was set after the start"},
	finding.StillLocked:      {"it is locked, and its settings do not ask for it by now"},
	finding.EtcHost:          {"it sees the host's %s and not %s"},
	finding.EtcReplaced:      {"it sees another %s than %s, which was replaced since the start"},
	finding.EtcUnbound:       {"it sees no %s: %s is no longer bound over it"},
	finding.NameDeletedAlive: {"the name %q was deleted since the start, and it runs on in what had that name"},
	finding.NameDeleted:      {"the name %q was deleted since the start, and nothing of it runs where it was started"},
	finding.NameReused:       {"the name %q leads to another network namespace than at the start"},
	finding.NamespaceMissing: {"network namespace %q does not exist"},
	finding.NamespaceStale:   {"network namespace %q is stale: %s is an ordinary file"},
	finding.NamespaceOther:   {"%s"},
}

// what says what was found.
func what(f finding.Finding) string { return fill(wordings[f.ID].what, f.Args) }

// fill puts arguments into a text, as words.
func fill(text string, args []any) string {
	if !strings.Contains(text, "%") {
		return text
	}
	words := make([]any, len(args))
	for i, arg := range args {
		words[i] = phrase(arg)
	}
	return fmt.Sprintf(text, words...)
}

// phrase is the words for an argument.
func phrase(arg any) any {
	switch arg := arg.(type) {
	case finding.Place:
		return place(string(arg))
	case finding.VRF:
		if arg == "" {
			return "VRF"
		}
		return fmt.Sprintf("VRF %q", string(arg))
	case audit.Process:
		return where(arg)
	case []audit.Process:
		names, verb := list(arg)
		return names + " " + verb
	case []audit.Socket:
		return unbound(arg)
	}
	return arg
}

// shell is a remedy for the shell of root, all or nothing.
func shell(r finding.Remedy) string { return strings.Join(commands(r), " && ") }

// commands are those of a remedy as a shell takes them.
func commands(r finding.Remedy) []string {
	lines := []string{}
	for _, c := range r.Commands {
		words := make([]string, len(c.Args))
		for i, arg := range c.Args {
			words[i] = quote(arg)
		}
		if c.Append != "" {
			words = append(words, ">>"+quote(c.Append))
		}
		lines = append(lines, strings.Join(words, " "))
	}
	return lines
}

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
	if s.MakesEmpty() {
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
	if s.Verdict == audit.Stopped || s.Verdict == audit.Verdict(finding.Missing) && len(s.Processes) == 0 {
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
	if info != "" && s.Verdict == audit.OK && s.VRF() != "" {
		info += fmt.Sprintf(", its sockets are bound to VRF %q", s.VRF())
	}
	for _, f := range s.Findings {
		if f.Gravity == finding.Stale {
			info = ""
			continue
		}
		warnings = append(warnings, what(f))
	}
	if s.Idle {
		warnings = append(warnings, "no process of it is there")
	}
	command, lead := shell(s.Remedy), mendWith
	if s.MakesEmpty() {
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
