package audit

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/openrc"
)

// assign finds out which process is of which service, confined or not: by the
// mount namespace that its start made, into which nobody is brought who does not
// go there himself; and of the others by what they claim: by the cgroup first,
// which tells of children that have lost their parent too; then by what OpenRC
// has on record; then by descent.
func (a *auditor) assign() {
	a.owners, a.proven = map[int]string{}, map[int]bool{}
	a.views = map[uint64]*Service{}
	recorded := map[string]string{} // by cgroup
	scripts := map[string]bool{}
	for _, s := range a.services {
		scripts[s.Name] = true
		if s.Record != nil && s.Record.Mounts.Inode != 0 && s.Record.Mounts.Inode != a.hostMounts {
			a.views[s.Record.Mounts.Inode] = s
		}
		if s.Record != nil && s.Record.Cgroup != "" {
			recorded[s.Record.Cgroup] = s.Name
		}
	}
	for _, s := range a.services {
		if s.missed = s.Record != nil && !a.unseen.Everybody && a.missesSome(s); s.missed {
			a.unseen.Stuck++
		}
	}
	untangle(a.processes)
	known := func(service string) bool {
		if _, asked := scripts[service]; !asked {
			scripts[service] = openrc.HasScript(service)
		}
		return scripts[service]
	}
	for pid, p := range a.processes {
		owner := cgroup.ServiceOf(p.cgroups, known)
		for cgroup := p.cgroup; cgroup != ""; cgroup = parentCgroup(cgroup) {
			if service := recorded[cgroup]; service != "" {
				owner = service
				break
			}
		}
		if s := a.views[p.mounts]; s != nil && (owner == s.Name || p.inode == s.Record.ID.Inode) && s.hasView(pid) {
			owner = s.Name
			a.proven[pid] = true
		}
		if owner != "" {
			a.owners[pid] = owner
		}
	}
	mains := a.supervised()
	for _, s := range a.services {
		for _, pid := range append(slices.Clone(s.daemons.PIDs), s.daemons.Child) {
			// The number in a pidfile may belong to another service now.
			if owner := a.owners[pid]; a.processes[pid] != nil && (owner == "" || owner == s.Name) {
				a.owners[pid] = s.Name
				mains[pid] = s.Name
			}
		}
	}
	for pid := range a.processes {
		a.inherit(pid)
	}
	a.collect(mains)
	for _, s := range a.services {
		a.judgeState(s)
	}
}

// missesSome looks at the processes in the cgroup of s that were not there when all were
// read, and reports whether they are gone whenever it does: one may fork and end all the
// time.
func (a *auditor) missesSome(s *Service) bool {
	const times = 20
	caught := false
	for range times {
		pids, all := cgroup.Members(s.Name, s.Record.Cgroup)
		gone := false
		for _, pid := range pids {
			if a.processes[pid] != nil || pid == os.Getpid() {
				continue
			}
			switch p, err := readProcess(pid); {
			case p != nil:
				a.processes[pid], caught = p, true
			case err == nil:
				gone = true
			}
		}
		if !all || !gone {
			return !all
		}
	}
	return !caught
}

// hasView reports whether a process that is in a mount namespace of that number is
// in the one that the start of s made.
func (s *Service) hasView(pid int) bool {
	if s.viewed {
		return true
	}
	ns := s.Record.Mounts.Find([]int{pid})
	if ns == nil {
		return false // or it has ended, which says nothing of the others
	}
	ns.Close()
	s.viewed = true
	return true
}

// supervised gives the daemons that s6 has started to their services: they are
// in the cgroup of s6, unless their own has a program. It returns their
// services.
func (a *auditor) supervised() map[int]string {
	supervisors := map[int]string{}
	for pid, p := range a.processes {
		if p.name != "s6-supervise" || p.mounts != a.hostMounts {
			continue
		}
		dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd")
		if service := openrc.S6Service(dir); err == nil && service != "" && userOf(pid) == 0 {
			supervisors[pid] = service
		}
	}
	mains := map[int]string{}
	if len(supervisors) == 0 {
		return mains
	}
	above := a.nearest(supervisors)
	s6 := map[string]string{} // who has the supervisor of a service in its cgroup
	for pid, service := range supervisors {
		s6[service] = a.owners[pid]
	}
	for pid, p := range a.processes {
		service := above(p.parent)
		if owner := a.owners[pid]; service != "" && (owner == "" || owner == service || owner == s6[service]) {
			a.owners[pid], mains[pid] = service, service
		}
	}
	return mains
}

// nearest gives of a process what some have of it, or of the next of its ancestors
// that they have anything of.
func (a *auditor) nearest(some map[int]string) func(pid int) string {
	known := map[int]string{}
	var find func(pid int) string
	find = func(pid int) string {
		found, asked := known[pid]
		if p := a.processes[pid]; !asked && p != nil {
			if found = some[pid]; found == "" {
				found = find(p.parent)
			}
			known[pid] = found
		}
		return found
	}
	return find
}

// inherit gives a process that is in no service's cgroup to the service of its
// parent. It returns that.
func (a *auditor) inherit(pid int) string {
	p := a.processes[pid]
	if p == nil || pid <= 1 {
		return ""
	}
	if owner, known := a.owners[pid]; known {
		return owner
	}
	owner := a.inherit(p.parent)
	a.owners[pid] = owner
	return owner
}

// judgeState finds out whether s has crashed. OpenRC takes a missing pidfile
// for a crash, but a daemon may write another one than its script says.
func (a *auditor) judgeState(s *Service) {
	if s.State != openrc.Started {
		return
	}
	dead := func(pid int) bool { return a.processes[pid] == nil }
	alive := func(p Process) bool { return !a.processes[p.PID].terminal }
	switch {
	case slices.ContainsFunc(s.daemons.PIDs, dead) && !a.unseen.Everybody && !s.missed:
		s.State = openrc.Crashed
	case s.daemons.Lost && slices.ContainsFunc(s.Processes, alive):
		s.NoPidfile = true
	case s.daemons.Lost:
		s.State = openrc.Crashed
	}
}

// collect gives each service its processes.
func (a *auditor) collect(mains map[int]string) {
	services := map[string]*Service{}
	for _, s := range a.services {
		services[s.Name] = s
	}
	main := a.nearest(mains)
	for pid, owner := range a.owners {
		s := services[owner]
		if s == nil {
			continue
		}
		p := a.processes[pid]
		if p.inode != 0 {
			a.netnsOf(p.inode, procPath(pid))
		}
		described := a.process(p)
		described.Claimed = !a.proven[pid]
		described.main = main(pid) == s.Name
		s.Processes = append(s.Processes, described)
	}
	for _, s := range a.services {
		slices.SortFunc(s.Processes, byPID)
	}
}

// parentCgroup is the cgroup above; empty at the root.
func parentCgroup(cgroup string) string {
	i := strings.LastIndexByte(cgroup, '/')
	return cgroup[:max(i, 0)]
}
