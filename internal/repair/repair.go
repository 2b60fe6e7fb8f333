// Package repair puts right what package audit finds wrong with services that
// run, where that can be done from outside: files that no longer stand in for
// those of /etc, a cgroup that has lost its program, and a network namespace that
// has lost its name. The processes do not notice, and what is right is left alone.
//
// It tells what it did; the words for it are its callers' business.
package repair

import (
	"errors"
	"io/fs"
	"slices"

	"openrc-netns/internal/audit"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
)

// Step is one thing that was done, or could not be.
type Step struct {
	Service string
	Kind    Kind
	// What is the file in /etc, the cgroup, or the name of the network namespace.
	What string
	// Process is one of those that it was done for; zero for Attached and Named.
	Process audit.Process
	// Err says why it could not be done; nil if it was.
	Err error
}

// Kind is a kind of Step.
type Kind string

const (
	// Bound: a file stands in for What again, for all processes that share
	// the mount namespace of Process.
	Bound Kind = "bound"
	// Attached: the cgroup What has its program again.
	Attached Kind = "attached"
	// Named: the network namespace has the name What again.
	Named Kind = "named"
	// Skipped: Process has another root directory, as in a chroot; what it sees in
	// /etc is not looked at.
	Skipped Kind = "skipped"
)

// Options says what to repair.
type Options struct {
	// Services are the ones to repair; none means all that are confined.
	Services []string
	// DryRun does nothing, and gives the steps that would be taken.
	DryRun bool
}

// Report is what was done, and what there is left to do.
type Report struct {
	Steps []Step
	// Left are the services that somebody has to do something about. With
	// DryRun it is as if nothing had been repaired.
	Left []audit.Service
}

// Run repairs. Its errors are those of audit.Run. It needs root, and a locked
// thread in the host's mount namespace.
func Run(o Options) (*Report, error) {
	report := &Report{}
	silent := map[string][]Step{} // services that did not answer
	const rounds = 4              // the host may replace a file once more meanwhile
	for round := range rounds {
		// At first there is no time to make sure: until a file is bound
		// again, the host's is seen. It does no harm to look at a service
		// that is just started.
		seen, err := audit.Run(audit.Options{Services: o.Services, Hasty: round == 0 && !o.DryRun})
		if err != nil {
			return nil, err
		}
		report.forgetErrors()
		report.Left = slices.DeleteFunc(slices.Clone(seen.Services), func(s audit.Service) bool { return !s.Verdict.NeedsAction() })
		if round == 0 {
			report.Steps = skipped(seen.Services)
		}
		done := false
		if round < rounds-1 {
			for i := range report.Left {
				name := report.Left[i].Name
				steps := silent[name]
				if steps == nil {
					steps = repair(&report.Left[i], o.DryRun)
				}
				if slices.ContainsFunc(steps, func(s Step) bool { return errors.Is(s.Err, errNoAnswer) }) {
					silent[name] = slices.DeleteFunc(slices.Clone(steps), func(s Step) bool { return s.Err == nil })
				}
				report.Steps = append(report.Steps, steps...)
				done = done || slices.ContainsFunc(steps, func(s Step) bool { return s.Err == nil })
			}
		}
		if o.DryRun || len(report.Left) == 0 || round > 0 && !done {
			break
		}
	}
	return report, nil
}

// forgetErrors leaves what was done: the rest is tried again.
func (r *Report) forgetErrors() {
	r.Steps = slices.DeleteFunc(r.Steps, func(s Step) bool { return s.Err != nil })
}

// skipped are the processes that see another /etc.
func skipped(services []audit.Service) []Step {
	var steps []Step
	for _, s := range services {
		for _, v := range s.Views {
			if v.Apart {
				steps = append(steps, Step{Service: s.Name, Kind: Skipped, What: "/etc", Process: v.Process})
			}
		}
	}
	return steps
}

// repair does for s what can be done.
func repair(s *audit.Service, try bool) []Step {
	if !try {
		unlock, err := openrc.Lock(s.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it was stopped, or knows nothing of where it belongs
		case err != nil:
			return []Step{{Service: s.Name, Err: err}}
		}
		defer unlock()
	}
	m := repairing{Service: s, try: try}
	for _, f := range s.Findings {
		if !s.CanRepair(f) {
			continue
		}
		switch {
		case f.Gravity == finding.Files:
			m.etc = true
		case f.ID == finding.NoProgram:
			m.program = true
		case f.ID == finding.NameDeletedAlive:
			m.name()
		}
	}
	if m.etc {
		m.bind()
	}
	if m.program {
		m.putBack()
	}
	return m.steps
}

// repairing is the work on one service.
type repairing struct {
	*audit.Service
	try     bool // do nothing
	etc     bool // binds over /etc are gone
	program bool // that of the cgroup is
	steps   []Step
}

func (m *repairing) add(kind Kind, what string, p audit.Process, err error) {
	m.steps = append(m.steps, Step{m.Name, kind, what, p, err})
}
