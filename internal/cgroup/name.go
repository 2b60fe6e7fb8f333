package cgroup

import (
	"bytes"
	"fmt"
	"path"
	"strings"
)

// What the names of cgroups begin with. (In the shell: _netns_confined in
// 50-netns.conf.)
const (
	openrcPrefix  = "openrc."       // OpenRC's for a service; before 0.50 it has none
	openrcParent  = "rc"            // OpenRC's for the cgroups of all services, in times to come
	servicePrefix = "openrc-netns." // ours for a service that OpenRC gives none
	commandPrefix = "netns-exec."   // ours for a command by hand
)

// IsOfService reports whether cgroup is the service's own.
func IsOfService(cgroup, service string) bool {
	switch path.Base(cgroup) {
	case openrcPrefix + service, service, servicePrefix + service:
		return true
	}
	return false
}

// ForService is the service's own cgroup: the current one if that is it, else
// one to be made.
func ForService(current, service string) string {
	if IsOfService(current, service) {
		return current
	}
	return path.Join(outer(current), servicePrefix+service)
}

// ForCommand is the cgroup for the program that confines a command by hand, in
// the network namespace of that cookie, to the device of that index, if it is
// not 0. One cgroup is for one confinement alone: another one's processes, or
// those of a namespace that had the same name before, must not come under it.
func ForCommand(current string, cookie uint64, index uint32, lock bool) string {
	name := fmt.Sprintf("%s%d.%d", commandPrefix, cookie, index)
	if lock {
		name += ".lock"
	}
	return path.Join(outer(current), name)
}

// ForVRF is the cgroup below that one for a command in a VRF. It ends as those
// of ip-vrf(8) do, whose identify and pids then know the process. Netns is the
// name of the network namespace, empty if it has none.
func ForVRF(cgroup, netns, vrf string) string {
	if netns != "" {
		cgroup = path.Join(cgroup, netns+"-ns")
	}
	return path.Join(cgroup, "vrf", vrf)
}

// outer takes off what an earlier run, of ours or of ip-vrf(8), has put at the
// end, so that nested runs do not go deeper and deeper.
func outer(cgroup string) string {
	for _, mark := range []string{"/" + commandPrefix, "/" + servicePrefix} {
		if i := strings.Index(cgroup, mark); i >= 0 {
			cgroup = cgroup[:i]
		}
	}
	if dir, _ := path.Split(cgroup); path.Base(dir) == "vrf" {
		cgroup = path.Dir(path.Clean(dir))
		if strings.HasSuffix(cgroup, "-ns") {
			cgroup = path.Dir(cgroup)
		}
	}
	if cgroup == "" {
		return "/"
	}
	return cgroup
}

// ServiceOf tells from the content of a /proc/PID/cgroup which service OpenRC
// put the process into the cgroup of; empty if none. Known says whether there
// is a service of that name: anybody who is root makes a cgroup of any name, and
// before 0.50 one was called just like the service.
func ServiceOf(cgroups []byte, known func(string) bool) string {
	for line := range bytes.Lines(cgroups) {
		_, entry, _ := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		controller, path, _ := strings.Cut(entry, ":")
		first, below, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
		service := ""
		switch {
		case controller == "name=openrc": // cgroup v1
			service = first
		case controller != "":
		case first == openrcParent && below != "":
			service, _, _ = strings.Cut(below, "/")
		case strings.HasPrefix(first, openrcPrefix):
			service = strings.TrimPrefix(first, openrcPrefix)
		case below == "" || ofCommand(below):
			service = first
		}
		if service != "" && known(service) {
			return service
		}
	}
	return ""
}

// ofCommand reports whether a cgroup is one that netns-exec or ip-vrf(8) makes
// below that of its caller. A container's, say, in a cgroup that happens to be
// called like a service, is none of the service's.
func ofCommand(cgroup string) bool {
	first, below, _ := strings.Cut(cgroup, "/")
	return strings.HasPrefix(first, commandPrefix) || first == "vrf" ||
		strings.HasSuffix(first, "-ns") && strings.HasPrefix(below, "vrf/")
}
