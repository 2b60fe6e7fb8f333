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

// whereabouts is what the status of a service has to say about where it runs, and what is
// wrong with that. Mostly nothing is, which a quick look shows; for the rest there is
// rc-netns(8). A status does not fail because this cannot be told.
func whereabouts(service string, settings Settings, ns *namespace.Namespace) (where string, warnings []string) {
	if inPlace(service, settings, ns) {
		return fmt.Sprintf("runs in network namespace %q", settings.Netns), nil
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

// join puts what status says behind what the action has to say. A remedy alone goes
// on the line that it is for.
func join(notices, warnings []string) []string {
	if len(notices) > 0 && len(warnings) > 0 && strings.HasPrefix(warnings[0], "mend it") {
		notices[len(notices)-1] += "; " + warnings[0]
		warnings = warnings[1:]
	}
	return append(notices, warnings...)
}

// inPlace reports whether a started service is, without a doubt, as its settings say:
// the daemons that OpenRC has on record and all processes in its cgroup are in ns, which
// has to have a name and still has it, and see the files of /etc/netns. It is for the many
// times in which nothing is wrong, and looks at nothing else; false asks for a thorough
// look (package audit), as what binds sockets does in any case. The caller has to be on
// the host's mounts, as root.
func inPlace(service string, settings Settings, ns *namespace.Namespace) bool {
	netns := settings.Netns
	if netns == "" || namespace.BaseName(netns) != netns {
		return false
	}
	record, err := ReadRecord(service)
	if err != nil || record == nil || record.Cgroup != "" || record.Netns != netns {
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
	return allInside(service, pids, record.ID.Inode) && (spec.View.Etc == "" || allSee(pids, spec.View.Etc))
}

// allInside reports whether the daemons, which are in the service's own cgroup, and
// all others there are in the network namespace of that inode.
func allInside(service string, daemons []int, inode uint64) bool {
	path, err := cgroup.Of(daemons[0])
	if err != nil || filepath.Dir(path) != "/" || !cgroup.IsOfService(path, service) {
		return false
	}
	pids, err := cgroup.Processes(path)
	if err != nil {
		return false
	}
	link := fmt.Sprintf("net:[%d]", inode)
	for _, pid := range append(pids, daemons...) {
		if namespaceOf(pid, "net") != link {
			return false
		}
	}
	return true
}

// allSee reports whether the daemons see in /etc what stands in for it.
func allSee(daemons []int, netns string) bool {
	dir := filepath.Join(mounts.EtcDir, netns)
	entries, err := files.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return false
	}
	for _, pid := range daemons {
		root, err := files.OpenRoot(pid)
		if err != nil {
			return false
		}
		for _, entry := range entries {
			ours, err := files.Identify(unix.AT_FDCWD, filepath.Join(dir, entry.Name()), 0)
			if its, itsErr := files.Identify(root, "etc/"+entry.Name(), unix.RESOLVE_IN_ROOT); err != nil || itsErr != nil || its != ours {
				unix.Close(root)
				return false
			}
		}
		unix.Close(root)
	}
	return true
}
