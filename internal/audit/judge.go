package audit

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync"

	"openrc-netns/internal/cgroup"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/vrf"
)

// judge finds out what is wrong with s. The order of the steps is that of
// gravity, but for the position of processes, which the others go by.
func (a *auditor) judge(s *Service) {
	want, err := a.want(s)
	if err == nil || s.Settings != nil || s.Record != nil {
		a.place(s, want)
		s.bystander = sync.OnceValue(func() bool { return a.hasBystander(s) })
		a.judgePlace(s, want)
		a.judgeSockets(s)
		a.judgeFiles(s)
		a.judgeName(s, want, err)
		s.Idle = a.idle(s)
	}
	s.Verdict = a.verdict(s, want, err)
}

// want is the namespace that s belongs in; the error says why there is none, or
// none that can be seen.
func (a *auditor) want(s *Service) (*netns, error) {
	switch {
	case s.Settings == nil && s.Record == nil:
		return nil, errors.New("nobody knows")
	case s.Netns == "" && a.host == 0:
		return nil, os.ErrPermission
	case s.Netns == "":
		return a.netnsOf(a.host, namespace.Host), nil
	}
	ns, err := namespace.Look(s.Netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return a.netnsOf(ns.Inode(), s.Netns), nil
}

// place gives each process of s its position.
func (a *auditor) place(s *Service, want *netns) {
	for i := range s.Processes {
		p := &s.Processes[i]
		terminal := a.processes[p.PID].terminal
		switch {
		case p.Inode == 0:
			p.Position = Hidden
			a.unseen.Processes++
		case want != nil && p.Inode == want.inode && !a.isHost(s, want):
			p.Position = Inside
		case s.Record != nil && a.byInode[p.Inode].is(s.Record.ID):
			p.Position = Started
		case terminal:
			p.Position = Session
		case p.Host || p.Netns != "" || s.Record == nil && s.State != openrc.Stopped:
			p.Position = Elsewhere
		default:
			p.Position = Private
		}
	}
}

// judgePlace looks for what runs outside.
func (a *auditor) judgePlace(s *Service, want *netns) {
	outside := map[uint64][]Process{}
	var inodes []uint64
	for _, p := range s.Processes {
		// Before it enters, a start joins the cgroup for a moment.
		if p.Position != Elsewhere || s.State == openrc.Starting && !p.main {
			continue
		}
		if outside[p.Inode] == nil {
			inodes = append(inodes, p.Inode)
		}
		outside[p.Inode] = append(outside[p.Inode], p)
	}
	for _, inode := range inodes {
		processes := outside[inode]
		remedy := s.restart(finding.Remedy{})
		if s.stray(processes) {
			remedy = end(processes)
		}
		s.add(finding.Outside, finding.ProcessesOutside, remedy, processes, processes[0])
	}
	if a.isHost(s, want) {
		gravity := finding.Missing
		if s.Record != nil && want.is(s.Record.ID) {
			gravity = finding.Outside
		}
		s.add(gravity, finding.NamespaceHost, s.create(finding.Remedy{}.RunAll(namespace.DeleteCommands(namespace.BaseName(s.Netns))), nil), s.Netns)
	}
	if s.Settings == nil || s.Settings.Netns == "" && s.Record == nil {
		return // vrf alone is the host's, where it is already
	}
	switch {
	case s.Record == nil && s.State == openrc.Started && slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position == Inside }):
		s.addRestart(finding.Stale, finding.NotOnRecord)
	case s.Record == nil:
		if len(s.Processes) == 0 && !a.hides(s) && s.State == openrc.Started && s.RecordError == nil {
			s.addRestart(finding.Outside, finding.NeverEntered, finding.Place(s.Netns))
		}
	case s.Record.Netns != s.Netns && (want == nil || !want.is(s.Record.ID)):
		s.addRestart(finding.Outside, finding.SettingsChanged, finding.Place(s.Record.Netns), finding.Place(s.Netns))
	}
}

// hasBystander: see Service. Of a pidfile that is root's alone, which names a process
// of nobody, that is sure only beside the daemon.
func (a *auditor) hasBystander(s *Service) bool {
	own := func(service string) bool { return service == s.Name }
	certain := 0
	for _, p := range s.Processes {
		if !p.Claimed && (p.Position == Inside || p.Position == Started) {
			certain = p.PID
		}
	}
	if certain != 0 && !s.daemons.Same(certain) {
		return true
	}
	return slices.ContainsFunc(s.daemons.PIDs, func(pid int) bool {
		p := a.processes[pid]
		if p == nil || a.proven[pid] && own(a.owners[pid]) || own(cgroup.ServiceOf(p.cgroups, own)) {
			return false
		}
		return certain != 0 || slices.Contains(s.daemons.Claims, pid) || !own(a.owners[pid])
	})
}

// isHost reports whether netns leads to the host's own namespace without saying
// so: nothing of the service belongs there.
func (a *auditor) isHost(s *Service, want *netns) bool {
	return want != nil && want.inode == a.host && !namespace.MeansHost(s.Netns)
}

// idle reports whether s is started and has nothing where it belongs, though
// there is a daemon that it should have: it has died, and OpenRC has no pidfile
// to tell by, or the start was content with another service's.
func (a *auditor) idle(s *Service) bool {
	if s.State != openrc.Started || a.hides(s) || s.Record == nil {
		return false
	}
	return !s.present() && (s.daemons.Recorded || serviceconf.HasDaemon(s.Name))
}

// present reports whether s has a process that counts: none that somebody has taken
// elsewhere, or into a network namespace of its own.
func (s *Service) present() bool {
	return slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position != Session && p.Position != Private })
}

// hides reports whether s may have processes that were not seen.
func (a *auditor) hides(s *Service) bool {
	return a.unseen.Everybody || s.daemons.Hidden || s.missed
}

// stray reports whether the service is inside, and only these processes are
// not.
func (s *Service) stray(processes []Process) bool {
	for _, p := range processes {
		if p.PID == s.daemons.Child || slices.Contains(s.daemons.PIDs, p.PID) {
			return false
		}
	}
	return s.State == openrc.Stopped || slices.ContainsFunc(s.Processes, func(p Process) bool {
		return p.Position == Inside || p.Position == Started
	})
}

// judgeName looks for a name that does not lead, or no longer, to a namespace.
func (a *auditor) judgeName(s *Service, want *netns, err error) {
	if errors.Is(err, os.ErrPermission) {
		return
	}
	if s.Record != nil && s.Record.Netns == s.Netns {
		switch {
		case err != nil && slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position == Started }):
			remedy := finding.Remedy{}
			certain := slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position == Started && !p.Claimed })
			if certain && namespace.BaseName(s.Netns) != "" && namespace.Vacant(err) {
				remedy = s.repair(remedy)
			}
			s.add(finding.Stale, finding.NameDeletedAlive, remedy, s.Netns)
		case err != nil:
			s.add(finding.Stale, finding.NameDeleted, s.create(finding.Remedy{}, err), s.Netns)
		case !want.is(s.Record.ID):
			s.addRestart(finding.Stale, finding.NameReused, s.Netns)
		}
		return
	}
	var stale *namespace.StaleError
	id, args := finding.NamespaceOther, []any{err}
	switch {
	case err == nil:
		return
	case errors.As(err, &stale):
		id, args = finding.NamespaceStale, []any{s.Netns, stale.Path}
	case errors.As(err, new(*namespace.NotExistError)):
		id, args = finding.NamespaceMissing, []any{s.Netns}
	}
	switch {
	case id == finding.NamespaceOther:
		s.add(finding.Missing, id, finding.Remedy{}, args...)
	case s.Record != nil || s.State == openrc.Started || !s.MadeOnDemand():
		s.add(finding.Missing, id, s.create(finding.Remedy{}, err), args...)
	}
}

// MadeOnDemand reports whether a start of s would have its namespace made
// first.
func (s *Service) MadeOnDemand() bool {
	name, state := s.Maker()
	return name != "" && state != openrc.Started
}

// judgeSockets looks at the program that binds the sockets of s.
func (a *auditor) judgeSockets(s *Service) {
	asked, lock := false, false
	if s.Settings != nil {
		spec, err := s.Settings.Spec()
		if err != nil {
			return
		}
		asked, lock = spec.Sockets.VRF != "", spec.Sockets.Lock
	}
	switch s.State {
	case openrc.Stopped, openrc.Starting, openrc.Stopping:
		return
	}
	if s.Record == nil || s.Record.Cgroup == "" {
		if (asked || lock) && (s.Record != nil || s.RecordError == nil && s.Netns == "") {
			s.addRestart(finding.Sockets, finding.NotBound)
		}
		return
	}
	daemons := s.Daemons()
	if len(daemons) == 0 {
		return // OpenRC removes the cgroup of a script that leaves no process
	}
	if privilege.CheckSysAdmin() != nil {
		a.unseen.Programs++
		return
	}
	program, err := vrf.Inspect(s.Record.Cgroup)
	if err != nil {
		a.unseen.Programs++
		return
	}
	var left []Process
	for _, p := range daemons {
		if at := a.processes[p.PID].cgroup; p.Position != Session && at != s.Record.Cgroup && !strings.HasPrefix(at, s.Record.Cgroup+"/") {
			left = append(left, p)
		}
	}
	a.judgeProgram(s, program, asked, lock, len(left) > 0)
	if len(left) > 0 {
		s.addRestart(finding.Sockets, finding.LeftCgroup, left, s.Record.Cgroup)
	}
}

// repairCgroup is the remedy where the cgroup is to have its program again. That
// can be told while the settings are those of the start; only a cgroup that is the
// service's own may get it, and a daemon that has left it has nothing of it.
func (s *Service) repairCgroup(left bool) finding.Remedy {
	if !left && s.Settings != nil && s.Record.AsSet(*s.Settings) && cgroup.IsOfService(s.Record.Cgroup, s.Name) {
		return s.repair(finding.Remedy{})
	}
	return s.restart(finding.Remedy{})
}

// judgeProgram compares the program, nil if there is none, with what s is to be
// bound to.
func (a *auditor) judgeProgram(s *Service, program *vrf.Confinement, asked, lock, left bool) {
	id, other := finding.ID(""), ""
	missing := program == nil
	if missing {
		program = &vrf.Confinement{Cookie: s.Record.ID.Cookie}
	}
	bound := int(program.Device.Index)
	var device Interface // the VRF of that name, or of that index where no name is known
	home := a.byInode[s.Record.ID.Inode]
	if home != nil {
		home.inspect()
	}
	if s.Settings == nil {
		asked, lock = bound != 0, program.Lock
	}
	if home != nil {
		for _, link := range home.links {
			if link.Kind != "vrf" {
				continue
			}
			if link.Index == bound {
				other = link.Name
			}
			if s.Settings == nil && link.Index == bound || s.Settings != nil && link.Name == s.Settings.VRF {
				device = link
			}
		}
	}
	seen := home != nil && home.err == nil
	switch {
	case program.Cookie != s.Record.ID.Cookie:
		id = finding.VRFRecreated
	case asked && seen && device.Index == 0:
		id = finding.VRFGone
	case missing:
		id = finding.NoProgram
	case asked && !seen:
		a.unseen.Programs++
	case asked && bound == 0:
		id = finding.NotBound
	case asked && device.Index != bound && other != "":
		id = finding.VRFChanged
	case asked && device.Index != bound:
		id = finding.VRFRecreated
	case !asked && bound != 0:
		id = finding.VRFUnset
	case lock && !program.Lock:
		id = finding.NotLocked
	case !lock && program.Lock:
		id = finding.StillLocked
	}
	switch {
	case id == finding.NoProgram && (asked || lock):
		s.add(finding.Sockets, id, s.repairCgroup(left), s.Record.Cgroup)
	case id == finding.NoProgram:
		s.addRestart(finding.Sockets, id, s.Record.Cgroup)
	case id == finding.VRFChanged:
		s.addRestart(finding.Sockets, id, other, s.VRF())
	case id != "":
		s.addRestart(finding.Sockets, id, finding.VRF(s.VRF()))
	}
	if (id == "" || id == finding.NoProgram) && asked && seen {
		a.judgeListeners(s, home, device)
	}
}

// certain reports whether p is of what the start has made, or comes from what OpenRC
// has on record.
func (p Process) certain() bool { return p.main || !p.Claimed }

// Daemons are the processes that live in what the start has made, and those that
// OpenRC has on record and what comes from them. An old session of an sshd that was
// started again is none. Where there are none of these, they are all.
func (s *Service) Daemons() []Process {
	var daemons []Process
	for _, p := range s.Processes {
		if p.certain() {
			daemons = append(daemons, p)
		}
	}
	if daemons == nil {
		return s.Processes
	}
	return daemons
}

// VRF is the one that the settings name; empty if they name none.
func (s *Service) VRF() string {
	if s.Settings == nil {
		return ""
	}
	return s.Settings.VRF
}

func (s *Service) add(gravity finding.Gravity, id finding.ID, remedy finding.Remedy, args ...any) {
	s.Findings = append(s.Findings, finding.Finding{ID: id, Gravity: gravity, Args: args, Remedy: remedy})
}

// addRestart adds what a restart puts right.
func (s *Service) addRestart(gravity finding.Gravity, id finding.ID, args ...any) {
	s.add(gravity, id, s.restart(finding.Remedy{}), args...)
}

// verdict sums it up.
func (a *auditor) verdict(s *Service, want *netns, err error) Verdict {
	hidden := slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position == Hidden })
	switch {
	case len(s.Findings) > 0:
		slices.SortStableFunc(s.Findings, func(a, b finding.Finding) int {
			return slices.Index(byGravity, a.Gravity) - slices.Index(byGravity, b.Gravity)
		})
		s.Remedy = s.remedy()
		return Verdict(s.Findings[0].Gravity)
	case s.State == openrc.Stopped, s.State == openrc.Failed, s.State == openrc.Crashed && !s.present():
		return Stopped
	case s.Settings == nil && s.Record == nil, hidden, want == nil && errors.Is(err, os.ErrPermission),
		s.Idle, !s.present() && a.hides(s), s.RecordError != nil && len(s.Processes) == 0:
		return Unknown
	case !s.present() && s.State != openrc.Started:
		return Stopped
	}
	return OK
}
