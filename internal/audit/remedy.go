package audit

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
)

// CanRepair reports whether package repair puts right what f says of s.
func (s *Service) CanRepair(f finding.Finding) bool {
	return slices.ContainsFunc(f.Remedy.Commands, s.repairs)
}

func (s *Service) repairs(c finding.Command) bool {
	return slices.Equal(c.Args, []string{"rc-netns", "repair", s.Name})
}

// remedy puts together those of all findings: what comes before a restart, one
// restart, and what ends stray processes. What can be repaired without one is, if
// there is none or it needs that. There is no remedy if there is none for one of them.
func (s *Service) remedy() finding.Remedy {
	var all, restart, repair finding.Remedy
	var stray []string
	nameless := false
	for _, f := range s.Findings {
		if len(f.Remedy.Commands) == 0 {
			return finding.Remedy{}
		}
		for _, c := range f.Remedy.Commands {
			switch {
			case c.Args[0] == "kill":
				stray = append(stray, c.Args[1:]...)
			case slices.Equal(c.Args, []string{"rc-service", s.Name, "restart"}):
				restart.Commands = []finding.Command{c}
			case s.repairs(c):
				repair.Commands = []finding.Command{c}
				nameless = nameless || f.ID == finding.NameDeletedAlive
			default:
				all.Commands = append(all.Commands, c)
			}
		}
	}
	switch {
	case restart.Commands == nil:
		restart = repair
	case nameless: // it would not start again
		all = all.Run("rc-netns", "repair", "-q", s.Name)
	}
	all.Commands = append(all.Commands, restart.Commands...)
	if stray != nil {
		all = all.Run(append([]string{"kill"}, stray...)...)
	}
	return all
}

// restart adds a restart of s, if it runs. Nothing is a remedy that would end
// somebody else.
func (s *Service) restart(r finding.Remedy) finding.Remedy {
	switch {
	case !s.runs():
		return r
	case s.bystander():
		return finding.Remedy{}
	}
	return r.Run("rc-service", s.Name, "restart")
}

// repair adds what puts s right while it runs (package repair).
func (s *Service) repair(r finding.Remedy) finding.Remedy {
	if !s.runs() {
		return r
	}
	return r.Run("rc-netns", "repair", s.Name)
}

func (s *Service) runs() bool { return s.State != openrc.Stopped && s.State != openrc.Failed }

// end ends processes; nobody is told to kill one on its word.
func end(processes []Process) (r finding.Remedy) {
	args := []string{"kill"}
	for _, p := range processes {
		if p.Claimed {
			return r
		}
		args = append(args, strconv.Itoa(p.PID))
	}
	return finding.Run(args...)
}

// create adds what creates the network namespace of s and starts s there. The
// error is that of namespace.Open. A restart of the service that makes the
// namespace restarts s as well, which needs it.
func (s *Service) create(r finding.Remedy, err error) finding.Remedy {
	name := namespace.BaseName(s.Netns)
	if name == "" {
		return finding.Remedy{}
	}
	creator, command := namespace.Creator(name), namespace.CreateCommand(name)
	if !strings.HasPrefix(creator, "netns.") {
		r = removeStale(r, err)
	}
	r = r.Run(command...)
	if slices.Equal(command, []string{"rc-service", "netns." + name, "restart"}) {
		return r
	}
	return s.restart(r)
}

// removeStale adds the removal of the file that a network namespace has left.
func removeStale(r finding.Remedy, err error) finding.Remedy {
	var stale *namespace.StaleError
	if errors.As(err, &stale) {
		return r.Run("rm", stale.Path)
	}
	return r
}

// MakesEmpty is the command of the remedy that makes a network namespace which
// nobody sets up, without its name; empty if there is none.
func (s *Service) MakesEmpty() string {
	for _, c := range s.Remedy.Commands {
		for _, maker := range []string{"ip netns add ", "rc-netns up "} {
			if strings.HasPrefix(strings.Join(c.Args, " "), maker) {
				return maker[:len(maker)-1]
			}
		}
	}
	return ""
}

// Maker is the service that makes the namespace of s, if there is one, and its
// state.
func (s *Service) Maker() (name string, state openrc.State) {
	base := namespace.BaseName(s.Netns)
	if name = namespace.Creator(base); !strings.HasPrefix(name, "netns.") {
		return "", openrc.Stopped
	}
	return name, openrc.ReadState(name)
}
