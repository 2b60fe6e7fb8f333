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
)

// InPlace reports whether a started service is, without a doubt, as its settings say:
// the daemons that OpenRC has on record and all processes in its cgroup are in ns,
// which has to have a name and still has it, and see the files of /etc/netns. It is for the many times
// in which nothing is wrong, and looks at nothing else; false asks for a thorough look
// (package audit), as what binds sockets does in any case. The caller has to be on the
// host's mounts, as root.
func InPlace(service string, settings Settings, ns *namespace.Namespace) bool {
	record, err := ReadRecord(service)
	if err != nil || record == nil || record.Cgroup != "" || record.Netns != settings.Netns || namespace.BaseName(settings.Netns) != settings.Netns {
		return false
	}
	spec, err := settings.Spec()
	if err != nil || spec.Sockets.VRF != "" || spec.Sockets.Lock || ReadState(service) != Started {
		return false
	}
	if ns == nil || ns.Name() != record.Netns || ns.Inode() != record.ID.Inode {
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
	if name := strings.TrimPrefix(path, "/"); err != nil || name != "openrc."+service && name != service { // 0.45
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
