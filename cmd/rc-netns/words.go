package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/preflight"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/shell"
)

// The words for what was found.

// wording is what people are told of a finding: what it is, why it matters and
// what to do, each on one line, in lower case and without a full stop. They are
// formats for the arguments of the finding. What is left out of a case is that
// of the ID without it.
type wording struct{ what, why, do string }

const (
	nowhereElse = "the service does not start anywhere else instead"
	notItsOwn   = "the service would see the host's, or nothing, where it should see its own"
	toBeBound   = "every IP socket of the service is to be bound to it"
	unknownWord = "an unknown value is an error at start"
	notHidden   = "what cannot be hidden would be seen, so the service does not start"
	nobodyReads = "nothing reads these settings"
	startSays   = "a start is refused: %s"
	useOpenRCs  = "let OpenRC's own supervisor do it"
	reinstall   = "install openrc-netns again"
	elsewhere   = "that one belongs elsewhere, and is acted on there when %[2]s is meant"
	ifMeant     = "; or write " + namespace.Host + ", if that is meant"
	toCreate    = "create it; to have it at every boot, see the network namespace as a service in openrc-netns(7)"
	recreate    = "remove it, and create the network namespace"
	executable  = "make it executable, and have OpenRC update its dependencies"
	keepHidden  = "keep those that exist; or first start what creates the others"
)

var wordings = map[finding.ID]wording{
	// Of running services.
	finding.ProcessesOutside: {what: "%s %s"},
	finding.NeverEntered:     {what: "it was not started %s: what it has set up is outside"},
	finding.SettingsChanged:  {what: "it was started %s, but its settings now put it %s"},
	finding.NotBound:         {what: "it was started before vrf or netns_lock was set: its sockets are not bound"},
	finding.NoProgram:        {what: "no BPF program of ours is on its cgroup %s: new sockets are not bound"},
	finding.LeftCgroup:       {what: "%s not in its cgroup %s: new sockets are not bound"},
	finding.VRFGone:          {what: "%s no longer exists: recreate it first"},
	finding.VRFRecreated:     {what: "its sockets are bound to a device that is gone: %s was recreated since the start"},
	finding.VRFChanged:       {what: "its sockets are bound to VRF %q, but its settings now name %q"},
	finding.VRFUnset:         {what: "its sockets are bound to a VRF, but its settings no longer name one"},
	finding.SocketsUnbound:   {what: "%s not bound to %s: it hears other networks"},
	finding.NotLocked:        {what: "it is not locked: netns_lock was set after the start"},
	finding.StillLocked:      {what: "it is locked, but its settings no longer ask for that"},
	finding.EtcHost:          {what: "it sees the host's %s and not %s"},
	finding.EtcReplaced:      {what: "it sees a different %s from %s, which was replaced since the start"},
	finding.EtcUnbound:       {what: "it sees no %s: %s is no longer bound over it"},
	finding.NameDeleted:      {what: "the name %q was deleted since the start, and the service has no process where it was started"},
	finding.NameDeletedAlive: {what: "the name %q was deleted since the start, and the service runs on in the network namespace that had it"},
	finding.NameReused:       {what: "the name %q leads to a different network namespace than at the start"},
	finding.NotOnRecord:      {what: "nothing is on record of its start: nobody knows which sockets it binds and which files it sees"},

	// Of their network namespaces.
	finding.NamespaceMissing:        {"network namespace %q does not exist", nowhereElse, toCreate},
	finding.NamespaceMissingNear:    {"network namespace %[1]q does not exist", "", toCreate + "; or write %[2]q, if that is meant"},
	finding.NamespaceMissingCreator: {"network namespace %[1]q does not exist", "", "have the service %[2]q create it"},
	finding.NamespaceMissingPath:    {do: "a name lasts, a path may not: name a network namespace"},
	finding.NamespaceStale:          {"network namespace %q is stale: %s is an ordinary file", "the network namespace that had this name has gone, and an empty file was left", recreate},
	finding.NamespaceOther:          {"%s", nowhereElse, recreate},
	finding.NamespaceOtherPath:      {do: "a name lasts, a path may not: name a network namespace"},
	finding.NamespaceHost:           {"network namespace %q is the host's own", "the service would run outside, and does not start", "delete the name, and create a network namespace" + ifMeant},
	finding.NamespaceHostPath:       {do: "name another one" + ifMeant},
	finding.NamespaceBadName:        {"%s", "no network namespace can have that name", "write a name"},
	finding.NamespaceWaits: {"%s waits for this service, which waits for it",
		"OpenRC gives up waiting after a minute, or does not start one of them", "leave it on the host's network"},
	finding.NamespaceBadNameMaker: {do: "link the script to another one"},

	// Of OpenRC and of what is installed.
	finding.DropinMissing: {"the drop-in is not installed",
		"without it OpenRC knows nothing of network namespaces, and every service runs on the host's network", reinstall},
	finding.DropinUnreadable: {"the drop-in cannot be read: %s",
		"OpenRC cannot read it either: depending on the shell no service starts, or every service runs on the host's network", "remove it and " + reinstall},
	finding.DropinUnreadableUsers: {"only root can read the drop-in",
		"for other users each command of OpenRC that reads it fails, as rc-service(8) with status does", "let everyone read it"},
	finding.DropinVersion: {"the drop-in is of a different version than openrc-netns-hook",
		"the two rely on each other: no service with settings starts", reinstall},
	finding.HookMissing: {"%s is missing, or cannot be executed",
		"the drop-in needs it to enter a network namespace: no service that has one starts or stops", reinstall},
	finding.HookMissingVersion: {what: "%s is of a different version than rc-netns",
		why: "the drop-in and its library rely on it: no service with settings starts"},
	finding.LibraryMissing: {"%s is missing",
		"the drop-in needs it for services with settings: those that need it do not start", reinstall},
	finding.LibraryMissingUnread:  {what: "%s cannot be read: %s"},
	finding.LibraryMissingVersion: {what: "%s is of a different version than openrc-netns-hook"},
	finding.OpenRCUnsupported: {"this OpenRC starts services in a way that openrc-netns does not know",
		"a service would run outside, so none that has a network namespace or a VRF is started",
		"use an OpenRC that openrc-netns is known to work with, 0.45 to 0.64, with its own openrc-run.sh"},
	finding.UserDropinMissing: {"the drop-in is not installed for the services of users",
		"they cannot enter a network namespace, and without the drop-in one that asks for it runs on the host's network", "link it"},
	finding.LSBDropinMissing: {"the file that hands Debian's init scripts over to OpenRC is not installed",
		"run by path, by service(8) or by the rc-service of OpenRC before 0.63, they run on the host's network", reinstall},

	finding.OpenRCInNamespace: {"OpenRC is run in network namespace %q",
		"its services that set no netns go to the host's network", "write netns=%s into the conf.d files of those that belong there; or netns_inherit=yes into /etc/rc.conf, and every service stays where it is started from"},

	// Of settings.
	finding.SettingGlobal: {"%q is set for every service",
		"every service of this machine has that setting, whatever is said about it below", "set it for each service that it is meant for, or netns_default for all; and remove it here"},
	finding.SettingUnknown:     {"there is no setting %[1]q", "it does nothing, and looks like %[2]q", "write %[2]s"},
	finding.SettingUnknownLine: {"%[1]q sets nothing", "a shell takes this for a command, and it looks like %[2]q", "write %[2]s, and an equals sign without blanks"},
	finding.SettingUnreached: {"%q is set below a return",
		"the shell stops reading there, and the service runs without the setting", "write it above that"},
	finding.SettingUnreachedValue: {"%[1]q is not what is written here",
		"a shell that has read all of the settings has %[2]q", "write it where the shell comes past, as the last one"},
	finding.SettingUnreachedFile: {"%[1]q is set in a file that OpenRC does not read", "in this runlevel it reads %[2]s in its place, and the service runs without the setting", "write it there too"},
	finding.SettingsUnread: {"this OpenRC does not read the " + rcdir.Conf + " file of a service of such a name",
		"it takes the name apart at its blanks, and for a pattern: a start is refused, because the service would run outside", "rename the service and the file, without blanks and *?["},
	finding.SettingBad:     {"%s", unknownWord, "write one of the two words"},
	finding.SettingBadKeep: {do: "write the names of capabilities that a lock takes away"},
	finding.SettingMisplaced: {"the service of a network namespace has the setting %q",
		"it makes the network namespace, and has to run on the host's network", "remove it"},
	finding.SettingMisplacedPublish: {what: "a service that publishes ports has the setting %q", why: "it has to listen on the host's network"},
	finding.SettingMisplacedGlobal: {"%q is for all services, and set for one",
		"it is the network namespace of this one, unless the service is of those that stay out", "write netns; or move it to /etc/rc.conf, if all services are meant"},
	finding.SettingsUnreadable: {"nobody can tell what the settings are",
		"only a shell can read this, and none could be asked: %s", "write them plainly, as in netns=vpn"},
	finding.SettingsFail: {"%s", "OpenRC does not come past this: a start fails", "correct the file"},
	finding.SettingsConflict: {"the init script changes %q, and " + rcdir.Conf + " has settings too",
		"conf.d has decided where the script runs before the script is read: a start is refused", "set it in one of the two"},
	finding.InterfaceBad: {"%s", "what is not an interface cannot be moved in", "keep what is right"},
	finding.SysctlBad:    {"%s", "what is not a setting of the network cannot be set", "keep what is right"},
	finding.VethBad:      {"%s", "a pair of interfaces has two names", "keep what is right"},
	finding.DNSBad:       {"%s", "what is neither a name server nor a domain cannot be asked", "keep what is right"},
	finding.WireGuardBad: {"%s", "the interface is called like the file", "keep what is right"},
	finding.WireGuardFile: {"%[1]s",
		"the start makes nothing of a file that it does not understand to the last line", "%[2]s"},
	finding.WireGuardNoFile:   {"%s", "there is nothing to make the interface of", "put the file there, or name another one"},
	finding.WireGuardReadable: {"%s", "who knows the private key can take the tunnel over", "keep it to root"},
	finding.WireGuardPeers:    {"%[1]s", "as with wg-quick(8), only the last of the two gets the packets", "%[2]s"},
	finding.WireGuardMissing:  {"%[1]s", "somebody has to make the interface", "%[2]s"},
	finding.AddressBad:        {"%[1]s", "an interface without one of its addresses is not what was asked for, so the start fails", "%[2]s"},
	finding.RouteBad:          {"%[1]s", "an interface without one of its routes is not what was asked for, so the start fails", "%[2]s"},
	finding.InterfaceClash:    {"%[1]s", "of two that claim the same, one could not be set up", "%[2]s"},
	finding.PublishBad:        {"%s", "the service listens on all that is listed, or does not start", "keep what is right"},
	finding.PublishNothing:    {what: "nothing of network namespace %q is to be reached", do: "list it in netns_publish, 127.0.0.1:9091 for instance, or remove the service"},
	finding.PublishTaken: {"%s is in the list of the service %q too",
		"only one of the two can listen there", "choose another one"},
	finding.PublishUnserved: {"netns_publish is set, and there is no service %q", "the host reaches nothing in the network namespace without it", "make it, and add it to a runlevel"},
	finding.HideMissing:     {"%s", notHidden, keepHidden},
	finding.HideRelative:    {"%s", notHidden, keepHidden},

	// Of init scripts and supervisors.
	finding.ScriptMissing:            {"there is no service %[1]q: %[2]s does not exist", nobodyReads, "install the service, or remove the file"},
	finding.ScriptMissingNear:        {do: "if %[3]q is meant, move them there"},
	finding.ScriptMissingLink:        {do: "link it to the script that it is an instance of"},
	finding.ScriptNotExecutable:      {"the init script cannot be executed", "OpenRC does not start it", executable},
	finding.ScriptNotExecutableLater: {why: "OpenRC does not ask it for its dependencies, so it may be started before its network namespace exists"},
	finding.ScriptNotExecutableMaker: {why: "%s needs the service of its network namespace, and OpenRC does not know that"},
	finding.ScriptNoHeader: {"the init script is not one for openrc-run, and has no LSB header",
		"OpenRC knows Debian's scripts by their header, and cannot run this one inside", "write the header"},
	finding.ScriptBypassesOpenRC: {"the init script begins with %q and not with #!/sbin/openrc-run",
		"rc-service hands it to that interpreter, the drop-in is not asked, and the service runs on the host's network", "have the script enter by itself"},
	finding.ScriptEnters: {"it calls %q itself",
		"the settings netns and vrf do not know of this call; without them, only the command that it runs is inside",
		"set netns or vrf in conf.d, and run the command without the call; docs/moving.md of openrc-netns shows how"},
	finding.ScriptEntersLocked: {why: "netns_lock takes away the capability that this call needs, so it fails", do: "use a script without the call, or do without netns_lock"},
	finding.PidfileShared: {"the pidfile %s is also that of the service %q",
		"while one of the two runs, the other is taken to be running, and stopping one ends the daemon of the other",
		"name it after the service, with $RC_SVCNAME; a daemon that writes it itself has to be told"},
	finding.ServiceByName:    {"the init script calls the service %[1]q by its name", elsewhere, "call no service that belongs elsewhere"},
	finding.ServiceByNameOwn: {do: "call it by $RC_SVCNAME"},
	finding.SupervisorRunit:  {"runit would start the daemon outside", startSays, useOpenRCs},
	finding.SupervisorS6:     {"s6 would start the daemon outside", startSays, useOpenRCs},

	// Of the rest.
	finding.EtcUnreadable:        {"%s", "the files to see in place of those in /etc belong in a directory of that name", "remove it, and create a directory"},
	finding.EtcSource:            {"%s", "there is nothing to bind", "remove it"},
	finding.EtcKind:              {"%s", notItsOwn, "move it away"},
	finding.EtcTargetMissing:     {"%[1]s", notItsOwn, "create what is to be covered; or remove %[2]s"},
	finding.EtcTargetMissingMade: {do: "create what is to be covered"},
	finding.EtcTargetUnusable:    {"%s", "", "remove it"},
	finding.VRFMissing:           {"%s", toBeBound, "create it, and give it the devices of its network"},
	finding.VRFOther:             {"%s", toBeBound, "name one that exists"},
	finding.VRFOtherAlone:        {do: "create one, and name it"},
	finding.VRFBadName:           {"%s", toBeBound, "name one that exists"},
	finding.VRFBadNameAlone:      {do: "create one, and name it"},
	finding.Kernel:               {"%s", "vrf and netns_lock are done by a BPF program on a cgroup, for one network namespace", "use another kernel, or do without"},
	finding.StartFails:           {"%s", "a start fails with this message", "do what the message says"},
	finding.StartWarns:           {"%s", "the service sees devices of another network in /sys", "let this container mount sysfs, or live with it"},
	finding.ResolverSocket: {"the service can ask %s, which resolves names on the host's network",
		"a socket in the file system leads out of the network namespace, and what is asked is seen outside", "hide it"},
	finding.ResolverLoopback: {"the service is to ask the resolver on %s, which does not exist in its network namespace",
		"each network namespace has a loopback of its own, and the host's resolver listens on the host's",
		"give the network namespace a file of its own, with the address of a resolver that can be reached from there in place of 192.0.2.53"},
	finding.ResolverLoopbackPath: {do: "have a resolver listen on that address inside"},

	// Of what could not be checked.
	finding.UncheckedStart:      {what: "whether a start could enter: only root can find out"},
	finding.UncheckedVRF:        {what: "VRF %q, and whether a start could enter: only root can find out"},
	finding.UncheckedVRFLater:   {what: "VRF %q: the service %s makes its network namespace first"},
	finding.UncheckedDropin:     {what: "%s, and the OpenRC that reads it: permission denied"},
	finding.UncheckedFile:       {what: "%s: permission denied"},
	finding.UncheckedError:      {what: "%s"},
	finding.UncheckedSupport:    {what: "whether OpenRC starts services in a way that the drop-in knows: %s"},
	finding.UncheckedScript:     {what: "what %s sets: %s"},
	finding.UncheckedSupervisor: {what: "whether %s would start the daemon inside: %s"},
	finding.UncheckedWireGuard:  {what: "whether WireGuard interfaces can be made here: only root can find out"},
}

// what says what was found, why why it matters, and do what to do about it.
func what(f finding.Finding) string { return fill(f, func(w wording) string { return w.what }) }
func why(f finding.Finding) string  { return fill(f, func(w wording) string { return w.why }) }
func do(f finding.Finding) string   { return fill(f, func(w wording) string { return w.do }) }

// fill puts the arguments of a finding, as words, into one of its texts.
func fill(f finding.Finding, part func(wording) string) string {
	text := cmp.Or(part(wordings[f.ID]), part(wordings[finding.ID(f.ID.Name())]), string(f.ID))
	if !strings.Contains(text, "%") {
		return text
	}
	words := make([]any, len(f.Args))
	for i, arg := range f.Args {
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

// oneLine is a remedy for the shell of root, all or nothing.
func oneLine(r finding.Remedy) string { return strings.Join(commands(r), " && ") }

// commands are those of a remedy as a shell takes them.
func commands(r finding.Remedy) []string {
	lines := []string{}
	for _, c := range r.Commands {
		words := make([]string, len(c.Args))
		for i, arg := range c.Args {
			words[i] = shell.Quote(arg)
		}
		if c.Append != "" {
			words = append(words, ">>"+shell.Quote(c.Append))
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

// summary says in a few words what a service is to be.
func summary(s preflight.Service) string {
	var parts []string
	if s.Makes != "" {
		parts = append(parts, "makes netns "+s.Makes)
	}
	if s.Netns != "" {
		parts = append(parts, "netns "+s.Netns)
	}
	if s.VRF != "" {
		parts = append(parts, "vrf "+s.VRF)
	}
	if s.Lock {
		parts = append(parts, "locked")
	}
	if !s.Known {
		parts = append(parts, "settings not known")
	}
	if len(parts) == 0 {
		return "no network namespace, no VRF"
	}
	return strings.Join(parts, ", ")
}

// remarks say what is not wrong and ought to be known.
func remarks(s *audit.Service) []string {
	var result []string
	shown := "; what is shown was recorded by the start"
	if s.Record == nil {
		shown = ", and no start has recorded any"
	}
	switch {
	case s.SettingsError != nil:
		result = append(result, fmt.Sprintf("settings unknown: %v%s", s.SettingsError, shown))
	case s.Settings == nil:
		result = append(result, "no settings in "+rcdir.Conf+shown)
	}
	if s.RecordError != nil {
		result = append(result, s.RecordError.Error())
	}
	switch {
	case s.State == openrc.Crashed && len(s.Processes) > 0:
		names, verb := list(s.Processes)
		result = append(result, fmt.Sprintf("it is recorded as started, but the daemon in its pidfile is gone; %s %s left", names, verb))
	case s.State == openrc.Crashed:
		result = append(result, "it is recorded as started, but its daemon is gone")
	case s.NoPidfile:
		result = append(result, "its pidfile is missing, which OpenRC takes for a crash")
	case s.Idle:
		result = append(result, "it is recorded as started, but has no process where it belongs: its daemon has died, or its start made do with one that runs elsewhere")
	}
	if with := s.MakesEmpty(); with != "" {
		result = append(result, "a network namespace made with "+with+" is empty: first set up in it what the service needs")
	}
	for _, p := range s.Processes {
		names, _ := list([]audit.Process{p})
		switch p.Position {
		case audit.Session:
			result = append(result, fmt.Sprintf("%s belongs to a person who has logged in, %s", names, where(p)))
		case audit.Private:
			result = append(result, fmt.Sprintf("%s is %s", names, where(p)))
		}
	}
	return result
}

// unseen says what could not be inspected.
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
	if u.Stuck > 0 {
		result = append(result, fmt.Sprintf("processes that cannot be looked at: %d keep waiting who does, are gone whenever somebody does, have too many descriptors or mount namespaces, or a cgroup with too long a path", u.Stuck))
	}
	if u.Everybody {
		result = append(result, "processes of other users are hidden: run as root")
	}
	add(u.Processes, "1 process of another user could not be inspected", "%d processes of other users could not be inspected")
	add(u.Settings, "the settings of 1 service could not be read", "the settings of %d services could not be read")
	add(u.Programs, "what binds the sockets of 1 service could not be inspected", "what binds the sockets of %d services could not be inspected")
	add(u.Files, "what 1 service sees in /etc could not be inspected", "what %d services see in /etc could not be inspected")
	add(u.Namespaces, "the interfaces of 1 network namespace could not be listed", "the interfaces of %d network namespaces could not be listed")
	return result
}

// statusLines are for the status action of a service, where it says nothing of
// this: where the service runs, and what is wrong; nothing of a stopped one.
// That the name leads elsewhere now the action has said already.
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
		warnings = append(warnings, "it has no process where it belongs")
	}
	command, lead := oneLine(s.Remedy), fixWith
	if s.MakesEmpty() != "" {
		lead = "fix it, setting up the new network namespace before the service starts there, with:"
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

// forOpenRC is what openrc-netns-hook(8) asks for: where the service runs, then
// a warning a line.
func forOpenRC(s *audit.Service) string {
	info, warnings := statusLines(s)
	var text strings.Builder
	for _, line := range append([]string{info}, warnings...) {
		text.WriteString(clean(line) + "\n")
	}
	return text.String()
}

const fixWith = "fix it with:"

// exemptions say why a service of the runlevels stays on the host's network.
var exemptions = map[serviceconf.Exemption]string{
	serviceconf.SetsUpNetworks: "sets up networks",
	serviceconf.Mounts:         "mounts for others",
	serviceconf.Prepares:       "prepares the machine",
	serviceconf.OpensConsole:   "opens a console",
	serviceconf.Supervises:     "runs the daemons of others",
	serviceconf.Boots:          "runs in a boot",
	serviceconf.InNoRunlevel:   "is in none of " + serviceconf.RunlevelsSetting,
	serviceconf.SaysItself:     "says so in conf.d",
}

// exempted lists them.
func exempted(r *preflight.Report) string {
	var services []string
	for _, e := range r.Exempt {
		services = append(services, fmt.Sprintf("%s (%s)", e.Service, exemptions[e.Why]))
	}
	text := fmt.Sprintf("%s is %q", serviceconf.DefaultSetting, r.Default)
	if len(services) > 0 {
		text += "; on the host's network stay: " + strings.Join(services, ", ")
	}
	return text
}
