package preflight

import (
	"errors"
	"fmt"
	"path/filepath"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/openrc"
)

// lookAtPlace looks at what a start needs, then rehearses it. What a part of it
// lacks is found with the functions that the start itself calls; the rehearsal
// finds what nobody has thought of.
func (s *subject) lookAtPlace(root bool, system System) {
	s.lookAtWords()
	ns := s.lookAtNamespace(root)
	if ns != nil {
		defer ns.Close()
	}
	s.lookAtEtc()
	s.lookAtHidden()
	if root && ns != nil {
		s.lookAtVRF(ns)
	}
	switch {
	case s.fails():
	case root:
		s.rehearse(filepath.Join(system.Directory, runScript), ns == nil)
	case s.VRF != "":
		s.Unchecked = append(s.Unchecked, fmt.Sprintf("VRF %q, and whether a start could enter: only root can find out", s.VRF))
	default:
		s.Unchecked = append(s.Unchecked, "whether a start could enter: only root can find out")
	}
	s.lookAtResolver()
}

// fails reports whether it is known already that a start would fail.
func (s *subject) fails() bool {
	for _, f := range s.Findings {
		if f.Effect == Fails {
			return true
		}
	}
	return false
}

// rehearse does what a start would do.
func (s *subject) rehearse(program string, fresh bool) {
	warn := func(text string) {
		s.add("start-warns", Warning, Where{Path: "/sys"}, text,
			"the service sees devices of another network in /sys", run("let this container mount sysfs, or live with it"))
	}
	err := openrc.Rehearsal{Service: s.Name, Settings: s.settings, Program: program, Fresh: fresh, Warn: warn}.Try()
	switch {
	case err == nil:
	case errors.As(err, new(*launch.KernelError)):
		remedy := write("use another kernel, or do without")
		for _, name := range []string{"vrf", "netns_lock"} {
			if where := s.from[name]; where.Path != "" {
				remedy.Edits = append(remedy.Edits, Edit{where.Path, where.Line, assign(lineOf(where.Path, where.Line), name, "")})
			}
		}
		s.add("kernel", Fails, s.from[s.confiner()], err.Error(),
			"vrf and netns_lock are done by a BPF program on a cgroup, for one network namespace", remedy)
	default:
		s.add("start-fails", Fails, s.from[s.first()], err.Error(), "a start fails with this message", run("do what the message says"))
	}
}

// confiner is the setting that needs something of the kernel.
func (s *subject) confiner() string {
	if s.VRF != "" {
		return "vrf"
	}
	return "netns_lock"
}

// first is the setting that makes this service one of ours.
func (s *subject) first() string {
	if s.Netns != "" {
		return "netns"
	}
	return s.confiner()
}
