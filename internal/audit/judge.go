package audit

import (
	"errors"
	"os"
	"slices"
	"strings"

	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/vrf"
)

// judge finds out what is wrong with s. The order of the steps is that of
// gravity, but for the position of processes, which the others go by.
func (l *lookout) judge(s *Service) {
	want, err := l.want(s)
	if err == nil || s.Settings != nil || s.Record != nil {
		l.place(s, want)
		l.judgePlace(s, want)
		l.judgeSockets(s)
		l.judgeFiles(s)
		l.judgeName(s, want, err)
		s.Idle = l.idle(s)
	}
	s.Verdict = l.verdict(s, want, err)
}

// want is the namespace that s belongs in; the error says why there is none, or
// none that can be seen.
func (l *lookout) want(s *Service) (*space, error) {
	switch {
	case s.Settings == nil && s.Record == nil:
		return nil, errors.New("nobody knows")
	case s.Netns == "" && l.host == 0:
		return nil, os.ErrPermission
	case s.Netns == "":
		return l.space(l.host, namespace.Host), nil
	}
	ns, err := namespace.Open(s.Netns)
	if err != nil {
		return nil, err
	}
	defer ns.Close()
	return l.space(ns.Inode(), s.Netns), nil
}

// place gives each process of s its position.
func (l *lookout) place(s *Service, want *space) {
	for i := range s.Processes {
		p := &s.Processes[i]
		terminal := l.processes[p.PID].terminal
		switch {
		case p.Inode == 0:
			p.Position = Hidden
			l.unseen.Processes++
		case want != nil && p.Inode == want.inode && !l.isHost(s, want):
			p.Position = Inside
		case s.Record != nil && l.spaces[p.Inode].is(s.Record.ID):
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
func (l *lookout) judgePlace(s *Service, want *space) {
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
		s.add(Problem{Verdict: Outside, Reason: ProcessesOutside, Processes: outside[inode], Stray: s.stray(outside[inode])})
	}
	if l.isHost(s, want) {
		verdict := Missing
		if s.Record != nil && want.is(s.Record.ID) {
			verdict = Outside
		}
		s.add(Problem{Verdict: verdict, Reason: IsHost})
	}
	if s.Settings == nil || s.Settings.Netns == "" && s.Record == nil {
		return // vrf alone is the host's, where it is already
	}
	switch {
	case s.Record == nil:
		if len(s.Processes) == 0 && !l.hides(s) && s.State == openrc.Started && s.RecordError == nil {
			s.add(Problem{Verdict: Outside, Reason: NeverEntered})
		}
	case s.Record.Netns != s.Netns && (want == nil || !want.is(s.Record.ID)):
		s.add(Problem{Verdict: Outside, Reason: SettingsChanged})
	}
}

// isHost reports whether netns leads to the host's own namespace without saying so:
// nothing of the service belongs there.
func (l *lookout) isHost(s *Service, want *space) bool {
	return want != nil && want.inode == l.host && !namespace.MeansHost(s.Netns)
}

// idle reports whether s is started and has nothing where it belongs, though there
// is a daemon that it should have: it has died, and OpenRC has no pidfile to tell by,
// or the start was content with another service's.
func (l *lookout) idle(s *Service) bool {
	if s.State != openrc.Started || l.hides(s) || s.Record == nil {
		return false
	}
	for _, p := range s.Processes {
		if p.Position != Session && p.Position != Private {
			return false
		}
	}
	return s.daemons.Recorded || serviceconf.HasDaemon(s.Name)
}

// hides reports whether s may have processes that this user cannot see.
func (l *lookout) hides(s *Service) bool { return l.unseen.Everybody || s.daemons.Hidden }

// stray reports whether the service is inside, and only these processes are not.
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
func (l *lookout) judgeName(s *Service, want *space, err error) {
	if errors.Is(err, os.ErrPermission) {
		return
	}
	if s.Record != nil && s.Record.Netns == s.Netns {
		switch {
		case err != nil:
			s.add(Problem{Verdict: Stale, Reason: NameGone, Err: err, Processes: s.left()})
		case !want.is(s.Record.ID):
			s.add(Problem{Verdict: Stale, Reason: NameReused})
		}
		return
	}
	problem := Problem{Verdict: Missing, Reason: NotUsable, Err: err}
	switch {
	case err == nil:
		return
	case errors.As(err, new(*namespace.StaleError)):
		problem.Reason = NotMounted
	case errors.As(err, new(*namespace.NotExistError)):
		problem.Reason = NotExist
	}
	if problem.Reason != NotUsable && s.Record == nil && s.State != openrc.Started && s.MadeOnDemand() {
		return
	}
	s.add(problem)
}

// left are the processes where s was started, its daemons if there are any.
func (s *Service) left() []Process {
	var left []Process
	for _, p := range slices.Concat(s.Daemons(), s.Processes) {
		if p.Position == Started && !slices.ContainsFunc(left, func(q Process) bool { return q.PID == p.PID }) {
			left = append(left, p)
		}
	}
	return left
}

// Maker is the service that makes the namespace of s, if there is one, and its
// state.
func (s *Service) Maker() (name string, state openrc.State) {
	base := namespace.BaseName(s.Netns)
	if base == "" || !openrc.HasScript("netns."+base) {
		return "", openrc.Stopped
	}
	return "netns." + base, openrc.ReadState("netns." + base)
}

// MadeOnDemand reports whether a start of s would have its namespace made first.
func (s *Service) MadeOnDemand() bool {
	name, state := s.Maker()
	return name != "" && state != openrc.Started
}

// judgeSockets looks at the program that binds the sockets of s.
func (l *lookout) judgeSockets(s *Service) {
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
			s.add(Problem{Verdict: Unbound, Reason: NotBound})
		}
		return
	}
	daemons := s.Daemons()
	if len(daemons) == 0 {
		return // OpenRC removes the cgroup of a script that leaves no process
	}
	if privilege.CheckSysAdmin() != nil {
		l.unseen.Programs++
		return
	}
	program, err := vrf.Inspect(s.Record.Cgroup)
	switch {
	case err != nil:
		l.unseen.Programs++
		return
	case program == nil:
		s.add(Problem{Verdict: Unbound, Reason: NoProgram})
		return
	}
	l.judgeProgram(s, program, asked, lock)
	var left []Process
	for _, p := range daemons {
		cgroup := l.processes[p.PID].cgroup
		if p.Position != Session && cgroup != s.Record.Cgroup && !strings.HasPrefix(cgroup, s.Record.Cgroup+"/") {
			left = append(left, p)
		}
	}
	if len(left) > 0 {
		s.add(Problem{Verdict: Unbound, Reason: LeftCgroup, Processes: left})
	}
}

// judgeProgram compares the program with what s is to be bound to.
func (l *lookout) judgeProgram(s *Service, program *vrf.Confinement, asked, lock bool) {
	problem := Problem{Verdict: Unbound}
	bound := int(program.Device.Index)
	var device Interface // the VRF of that name, or of that index where no name is known
	home := l.spaces[s.Record.ID.Inode]
	if home != nil {
		home.look()
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
				problem.VRF = link.Name
			}
			if s.Settings == nil && link.Index == bound || s.Settings != nil && link.Name == s.Settings.VRF {
				device = link
			}
		}
	}
	switch {
	case program.Cookie != s.Record.ID.Cookie:
		problem.Reason = OtherDevice
	case asked && (home == nil || home.err != nil):
		l.unseen.Programs++
	case asked && device.Index == 0:
		problem.Reason = DeviceGone
	case asked && bound == 0:
		problem.Reason = NotBound
	case asked && device.Index != bound && problem.VRF != "":
		problem.Reason = OtherVRF
	case asked && device.Index != bound:
		problem.Reason = OtherDevice
	case !asked && bound != 0:
		problem.Reason = StillBound
	case lock && !program.Lock:
		problem.Reason = NotLocked
	case !lock && program.Lock:
		problem.Reason = StillLocked
	}
	switch {
	case problem.Reason != 0:
		s.add(problem)
	case asked && bound != 0 && home != nil && home.err == nil:
		l.judgeListeners(s, home, device)
	}
}

// Daemons are the processes that OpenRC has on record and those that come from
// them. An old session of an sshd that was started again is none. Where OpenRC has
// nothing on record, they are all.
func (s *Service) Daemons() []Process {
	var daemons []Process
	for _, p := range s.Processes {
		if p.main {
			daemons = append(daemons, p)
		}
	}
	if daemons == nil {
		return s.Processes
	}
	return daemons
}

func (s *Service) add(p Problem) { s.Problems = append(s.Problems, p) }

// verdict sums it up.
func (l *lookout) verdict(s *Service, want *space, err error) Verdict {
	hidden := slices.ContainsFunc(s.Processes, func(p Process) bool { return p.Position == Hidden })
	switch {
	case len(s.Problems) > 0:
		slices.SortStableFunc(s.Problems, func(a, b Problem) int {
			return slices.Index(gravity, a.Verdict) - slices.Index(gravity, b.Verdict)
		})
		return s.Problems[0].Verdict
	case s.State == openrc.Stopped, s.State == openrc.Failed, s.State == openrc.Crashed && len(s.Processes) == 0:
		return Stopped
	case s.Settings == nil && s.Record == nil, hidden, want == nil && errors.Is(err, os.ErrPermission),
		s.Idle, len(s.Processes) == 0 && l.hides(s), s.RecordError != nil && len(s.Processes) == 0:
		return Unknown
	case len(s.Processes) == 0 && s.State != openrc.Started:
		return Stopped
	}
	return OK
}
