// Package preflight finds out, before anything is started, what would keep a
// service from running where its settings say. It looks: what needs a shell to be
// read is asked of one that can do nothing else (see ask). Of s6 and runit a shell
// answers that has read the library of the drop-in.
//
// What a start would do is not done a second time here: the plan of the start
// is made and rehearsed (openrc.Rehearsal), and everything that this package
// says of its own is a closer look at why that fails. So check and start cannot
// disagree.
package preflight

import (
	"errors"
	"path/filepath"
	"slices"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/serviceconf"
)

// ErrNotOpenRC says that this machine has no OpenRC to look at.
var ErrNotOpenRC = ask.ErrNotOpenRC

// Report is what Run found.
type Report struct {
	System   System
	Services []Service
	// Default is the network namespace of all services that say nothing of
	// theirs, and Exempt are the others of the runlevels that stay on the host's
	// network.
	Default string
	Exempt  []Exempt
}

// Exempt is a service that serviceconf.Default is not for.
type Exempt struct {
	Service string
	Why     serviceconf.Exemption
}

// System is what all services have in common.
type System struct {
	OpenRC    string // version; empty if it cannot be had
	Directory string // with OpenRC's own files
	Patched   bool   // OpenRC knows netns and vrf in Alpine's way too
	Found

	library string // the directory of the drop-in's; empty if it is not known
}

// Service is one that has settings of ours, or that makes a network namespace.
type Service struct {
	Name  string
	Known bool // false if only a shell can tell the settings; then the next three say nothing
	Netns string
	VRF   string
	Lock  bool
	Makes string // the network namespace that this service makes
	Found
}

// Found is what was found of OpenRC or of a service, and what could not be
// checked.
type Found struct {
	Findings, Unchecked []finding.Finding
}

func (f *Found) add(id finding.ID, gravity finding.Gravity, where finding.Where, remedy finding.Remedy, args ...any) {
	f.Findings = append(f.Findings, finding.Finding{ID: id, Gravity: gravity, Where: where, Args: args, Remedy: remedy})
}

func (f *Found) unchecked(id finding.ID, args ...any) {
	f.Unchecked = append(f.Unchecked, finding.Finding{ID: id, Args: args})
}

// Run checks the services called names and those of their network namespaces,
// or at all that have settings of ours if there are no names. The error is
// ErrNotOpenRC, or says that there is no such service, that none can have the
// name, or that a directory cannot be read.
//
// The caller has locked the thread: from inside, it is moved to the mounts of
// process 1, which are those that a start sees. Without CAP_SYS_ADMIN less can
// be seen, and the report says what.
func Run(names []string) (*Report, error) {
	ask.Begin()
	var report Report
	root := privilege.CheckSysAdmin() == nil
	if root {
		if err := mounts.EnterHost(); err != nil {
			return nil, err
		}
	}
	var err error
	if report.System, err = checkSystem(); err != nil {
		return nil, err
	}
	c := checker{openrc: report.System, root: root, dns: map[string]bool{}, stale: map[string]bool{}}
	named := len(names) > 0
	if !named {
		if names, err = services(); err != nil {
			return nil, err
		}
		report.findExempt(names)
	}
	names = slices.Clone(names)
	for i := 0; i < len(names); i++ {
		s, err := c.check(names[i], named)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		report.Services = append(report.Services, *s)
		// It is started first.
		if script := maker(s.Netns); script != "" && !slices.Contains(names, filepath.Base(script)) {
			names = append(names, filepath.Base(script))
		}
	}
	return &report, nil
}

// findExempt finds those of names that are in a runlevel and run on the host's
// network though there is a default.
func (r *Report) findExempt(names []string) {
	fallback, err := serviceconf.ReadDefault()
	if err != nil || fallback.Netns == "" {
		return
	}
	r.Default = fallback.Netns
	for _, name := range names {
		if !serviceconf.InRunlevel(name, "*") {
			continue
		}
		settings, err := serviceconf.Read(name)
		if settings.Confined() || err != nil && !errors.As(err, new(*serviceconf.NotExistError)) {
			continue
		}
		why := fallback.Exempts(name)
		if why == "" {
			why = serviceconf.SaysItself
		}
		r.Exempt = append(r.Exempt, Exempt{name, why})
	}
}

// Findings counts all of them.
func (r *Report) Findings() int {
	n := len(r.System.Findings)
	for _, s := range r.Services {
		n += len(s.Findings)
	}
	return n
}
