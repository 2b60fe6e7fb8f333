package preflight

import (
	"errors"
	"path/filepath"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/openrc"
)

// checkStart looks at what a start needs, then rehearses it. What a part of it
// lacks is found with the functions that the start itself calls; the rehearsal
// finds what nobody has thought of.
func (s *serviceCheck) checkStart(root bool, system System) {
	s.checkValues()
	ns := s.checkNamespace(root)
	if ns != nil {
		defer ns.Close()
	}
	s.checkEtc()
	s.checkHide()
	if root && ns != nil {
		s.checkVRF(ns)
	}
	switch {
	case s.fails():
	case root:
		s.rehearse(filepath.Join(system.Directory, ask.RunScript), ns == nil)
	case s.VRF != "":
		s.unchecked(finding.UncheckedVRF, s.VRF)
	default:
		s.unchecked(finding.UncheckedStart)
	}
	s.checkResolver()
}

// fails reports whether it is known already that a start would fail.
func (s *serviceCheck) fails() bool {
	for _, f := range s.Findings {
		if f.Gravity == finding.Fails {
			return true
		}
	}
	return false
}

// rehearse does what a start would do.
func (s *serviceCheck) rehearse(program string, fresh bool) {
	warn := func(text string) {
		s.add(finding.StartWarns, finding.Warning, finding.Where{Path: "/sys"}, finding.Remedy{}, text)
	}
	err := openrc.Rehearsal{Service: s.Name, Settings: s.settings, Program: program, Fresh: fresh, Warn: warn}.Try()
	switch {
	case err == nil:
	case errors.As(err, new(*launch.KernelError)):
		var remedy finding.Remedy
		for _, name := range []string{"vrf", "netns_lock"} {
			if s.from[name].Path != "" {
				remedy.Edits = append(remedy.Edits, s.edit(name, "").Edits...)
			}
		}
		s.add(finding.Kernel, finding.Fails, s.from[s.confiner()], remedy, err)
	default:
		s.add(finding.StartFails, finding.Fails, s.from[s.first()], finding.Remedy{}, err)
	}
}

// confiner is the setting that needs something of the kernel.
func (s *serviceCheck) confiner() string {
	if s.VRF != "" {
		return "vrf"
	}
	return "netns_lock"
}

// first is the setting that makes this service one of ours.
func (s *serviceCheck) first() string {
	if s.Netns != "" {
		return "netns"
	}
	return s.confiner()
}
