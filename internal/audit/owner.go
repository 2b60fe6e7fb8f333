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
// cgroup first, which tells of children that have lost their parent too; then by
// what OpenRC has on record; then by descent.
func (l *lookout) assign() {
	l.owners = map[int]string{}
	recorded := map[string]string{} // by cgroup
	for _, s := range l.services {
		if s.Record != nil && s.Record.Cgroup != "" {
			recorded[s.Record.Cgroup] = s.Name
		}
	}
	scripts := map[string]bool{}
	known := func(service string) bool {
		if _, asked := scripts[service]; !asked {
			scripts[service] = openrc.HasScript(service)
		}
		return scripts[service]
	}
	for pid, p := range l.processes {
		owner := cgroup.ServiceOf(p.cgroups, known)
		for cgroup := p.cgroup; cgroup != ""; cgroup = parentCgroup(cgroup) {
			if service := recorded[cgroup]; service != "" {
				owner = service
				break
			}
		}
		if owner != "" {
			l.owners[pid] = owner
		}
	}
	mains := l.supervised()
	for _, s := range l.services {
		for _, pid := range append(slices.Clone(s.daemons.PIDs), s.daemons.Child) {
			// The number in a pidfile may be another service's by now.
			if owner := l.owners[pid]; l.processes[pid] != nil && (owner == "" || owner == s.Name) {
				l.owners[pid] = s.Name
				mains[pid] = s.Name
			}
		}
	}
	for pid := range l.processes {
		l.inherit(pid)
	}
	l.collect(mains)
	for _, s := range l.services {
		l.judgeState(s)
	}
}

// supervised gives the daemons that s6 has started to their services: they are in
// the cgroup of s6, unless their own has a program. It returns their services.
func (l *lookout) supervised() map[int]string {
	supervisors := map[int]string{}
	for pid, p := range l.processes {
		if p.name != "s6-supervise" {
			continue
		}
		if dir, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/cwd"); err == nil {
			if service := openrc.S6Service(dir); service != "" {
				supervisors[pid] = service
			}
		}
	}
	mains := map[int]string{}
	if len(supervisors) == 0 {
		return mains
	}
	for pid, p := range l.processes {
		for ancestor := p.parent; l.processes[ancestor] != nil; ancestor = l.processes[ancestor].parent {
			service := supervisors[ancestor]
			if service == "" {
				continue
			}
			if owner := l.owners[pid]; owner == "" || owner == service || owner == l.owners[ancestor] {
				l.owners[pid], mains[pid] = service, service
			}
			break
		}
	}
	return mains
}

// inherit gives a process that is in no service's cgroup to the service of its
// parent. It returns that.
func (l *lookout) inherit(pid int) string {
	p := l.processes[pid]
	if p == nil || pid <= 1 {
		return ""
	}
	if owner, known := l.owners[pid]; known {
		return owner
	}
	owner := l.inherit(p.parent)
	l.owners[pid] = owner
	return owner
}

// judgeState finds out whether s has crashed. OpenRC takes a missing pidfile for a
// crash, but a daemon may write another one than its script says.
func (l *lookout) judgeState(s *Service) {
	if s.State != openrc.Started {
		return
	}
	dead := func(pid int) bool { return l.processes[pid] == nil }
	alive := func(p Process) bool { return !l.processes[p.PID].terminal }
	switch {
	case slices.ContainsFunc(s.daemons.PIDs, dead) && !l.unseen.Everybody:
		s.State = openrc.Crashed
	case s.daemons.Lost && slices.ContainsFunc(s.Processes, alive):
		s.NoPidfile = true
	case s.daemons.Lost:
		s.State = openrc.Crashed
	}
}

// collect gives each service its processes.
func (l *lookout) collect(mains map[int]string) {
	services := map[string]*Service{}
	for _, s := range l.services {
		services[s.Name] = s
	}
	for pid, owner := range l.owners {
		s := services[owner]
		if s == nil {
			continue
		}
		p := l.processes[pid]
		if p.inode != 0 {
			l.space(p.inode, procPath(pid))
		}
		described := l.process(p)
		for ancestor := p; ancestor != nil && !described.main; ancestor = l.processes[ancestor.parent] {
			described.main = mains[ancestor.pid] == s.Name
		}
		s.Processes = append(s.Processes, described)
	}
	for _, s := range l.services {
		slices.SortFunc(s.Processes, byPID)
	}
}

// parentCgroup is the cgroup above; empty at the root.
func parentCgroup(cgroup string) string {
	i := strings.LastIndexByte(cgroup, '/')
	return cgroup[:max(i, 0)]
}
