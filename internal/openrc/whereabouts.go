package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/files"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/rcnetns"
)

// whereabouts is what the status of a service has to say about where it runs,
// and what is wrong with that. Mostly nothing is, which a glance shows; for the
// rest there is rc-netns(8). A status does not fail because this cannot be
// told.
func whereabouts(service string, settings Settings, ns *namespace.Namespace) (where string, warnings []string) {
	switch running, sure := glance(service, settings, ns); {
	case running && sure:
		return fmt.Sprintf("runs in network namespace %q", settings.Netns), nil
	case sure:
		return "", nil
	}
	output, err := rcnetns.Ask("status", "--openrc", "--", service)
	if err != nil {
		return "", []string{fmt.Sprintf("cannot tell where it runs: %v", err)}
	}
	where, rest, _ := strings.Cut(output, "\n")
	for line := range strings.Lines(rest) {
		warnings = append(warnings, strings.TrimSuffix(line, "\n"))
	}
	return where, warnings
}

// join puts what status says behind what the action has to say. A remedy alone
// goes on the line that it is for.
func join(notices, warnings []string) []string {
	if len(notices) > 0 && len(warnings) > 0 && strings.HasPrefix(warnings[0], "fix it") {
		notices[len(notices)-1] += "; " + warnings[0]
		warnings = warnings[1:]
	}
	return append(notices, warnings...)
}

// glance reports whether a service runs, and whether it is sure that this is as
// its settings say. Running is all in place: the daemons that OpenRC has on
// record and the processes in its cgroup are in ns, which has to have a name
// and still has it, and see the files of /etc/netns. One that does not run has
// left no process in its cgroup, or is not confined at all. It is for the many
// times in which nothing is wrong, and looks at nothing else; where it is not
// sure a thorough look is due (package audit), as it is for what binds sockets.
// The caller has to be on the host's mounts, as root.
func glance(service string, settings Settings, ns *namespace.Namespace) (running, sure bool) {
	record, err := ReadRecord(service)
	if err != nil {
		return false, false
	}
	if record == nil && !settings.Confined() {
		return false, true // brought home from inside: there is nothing to say
	}
	if record == nil && ReadState(service) == Stopped {
		return false, leftNone("/openrc."+service) && leftNone("/"+service) // before 0.50
	}
	return true, record != nil && inPlace(service, settings, record, ns)
}

// leftNone reports whether a cgroup has no processes, or does not exist.
func leftNone(path string) bool {
	pids, err := cgroup.Processes(path)
	return err == nil && len(pids) == 0 || errors.Is(err, fs.ErrNotExist)
}

func inPlace(service string, settings Settings, record *Record, ns *namespace.Namespace) bool {
	netns := settings.Netns
	if netns == "" || namespace.BaseName(netns) != netns || record.Cgroup != "" || record.Netns != netns {
		return false
	}
	spec, err := settings.Spec()
	if err != nil || spec.Sockets.VRF != "" || spec.Sockets.Lock || ReadState(service) != Started {
		return false
	}
	if ns == nil || ns.Name() != netns || ns.Inode() != record.ID.Inode {
		return false
	}
	daemons := ReadDaemons(service)
	if daemons.Lost || daemons.Hidden || len(daemons.PIDs) == 0 {
		return false
	}
	pids := daemons.PIDs
	if daemons.Child != 0 {
		pids = append(pids, daemons.Child)
	}
	return allInside(service, pids, record) && (spec.View.Etc == "" || allSee(pids, spec.View.Etc))
}

// allInside reports whether the daemons, which are in the mounts that the start
// made and in the service's own cgroup, and all others there are in the network
// namespace of the start.
func allInside(service string, daemons []int, record *Record) bool {
	path, err := cgroup.Of(daemons[0])
	if err != nil || filepath.Dir(path) != "/" || !cgroup.IsOfService(path, service) {
		return false
	}
	pids, err := cgroup.Processes(path)
	if err != nil {
		return false
	}
	view := fmt.Sprintf("mnt:[%d]", record.Mounts.Inode)
	for _, pid := range daemons {
		if files.NSLink(pid, "mnt") != view {
			return false
		}
	}
	link := fmt.Sprintf("net:[%d]", record.ID.Inode)
	for _, pid := range append(pids, daemons...) {
		if files.NSLink(pid, "net") != link {
			return false
		}
	}
	return true
}

// allSee reports whether the daemons see in /etc what stands in for it.
func allSee(daemons []int, netns string) bool {
	binds, err := mounts.EtcEntries(netns)
	if err != nil {
		return false
	}
	for _, pid := range daemons {
		if len(binds) > 0 && !sees(pid, binds) {
			return false
		}
	}
	return true
}

func sees(pid int, binds []mounts.Bind) bool {
	view, err := files.OpenSameView(pid)
	if err != nil {
		return false
	}
	defer view.Close()
	for _, bind := range binds {
		ours, err := files.Identify(unix.AT_FDCWD, bind.Source)
		its, itsErr := view.Identify(bind.Target)
		if err != nil || itsErr != nil || its != ours {
			return false
		}
	}
	return true
}
