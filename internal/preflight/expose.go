package preflight

import (
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/expose"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// exposeScript is the init script of the services that expose ports.
var exposeScript = filepath.Join(rcdir.Init, strings.TrimSuffix(expose.ServicePrefix, "."))

// exposes is the network namespace whose ports a service exposes; empty if it
// is none of ours.
func exposes(service string) string {
	name, found := strings.CutPrefix(service, expose.ServicePrefix)
	if !found {
		return ""
	}
	script, err := os.Stat(filepath.Join(rcdir.Init, service))
	ours, oursErr := os.Stat(exposeScript)
	if err != nil || oursErr != nil || !os.SameFile(script, ours) {
		return ""
	}
	return name
}

// readExposed reads what the settings of a network namespace list, and where.
// Known is false if only a shell can tell.
func readExposed(netns string) (list string, where finding.Where, known bool) {
	known = true
	for _, file := range serviceconf.Files("netns." + netns) {
		found, err := confd.Head(file, []string{expose.Setting})
		if err != nil || len(found) == 0 && confd.Assigns(file, expose.Setting) {
			known, where = false, finding.Where{Path: file}
		}
		for _, a := range found {
			list, where, known = a.Value, finding.Where{Path: file, Line: a.Line}, true
		}
	}
	return list, where, known
}

// checkExpose looks at what a service exposes.
func (s *serviceCheck) checkExpose(netns string) {
	for _, name := range openrc.Names {
		if where, set := s.from[name]; set && s.settings.Confined() {
			s.add(finding.SettingMisplacedExpose, finding.Fails, where, finding.Write(remove(where, name)), name)
		}
	}
	list, where, known := readExposed(netns)
	if !known {
		s.unchecked(finding.UncheckedList, expose.Setting, where.Path)
		return
	}
	if strings.TrimSpace(list) == "" {
		s.add(finding.ExposeNothing, finding.Fails, finding.Where{Path: filepath.Join(rcdir.Conf, "netns."+netns)}, finding.Remedy{}, netns)
		return
	}
	s.from[expose.Setting] = where
	entries, err := expose.ParseList(list)
	if err != nil {
		var good []string
		for _, word := range strings.Fields(list) {
			if _, err := expose.ParseWords(append(good, word)); err == nil {
				good = append(good, word)
			}
		}
		s.add(finding.ExposeBad, finding.Fails, where, s.edit(expose.Setting, strings.Join(good, " ")), err)
		return
	}
	s.checkOthersPorts(entries, where)
}

// checkOthersPorts looks for a port that another service has in its list too.
func (s *serviceCheck) checkOthersPorts(entries []expose.Entry, where finding.Where) {
	services, err := names(rcdir.Init)
	if err != nil {
		return
	}
	for _, other := range services {
		netns := exposes(other)
		if netns == "" || other == s.Name {
			continue
		}
		list, _, _ := readExposed(netns)
		theirs, _ := expose.ParseList(list)
		for _, entry := range entries {
			for _, their := range theirs {
				if entry.Clashes(their) {
					s.add(finding.ExposeTaken, finding.Fails, where, finding.Remedy{}, entry.Name(), other)
				}
			}
		}
	}
}

// checkExposed looks whether what the settings of a network namespace list is
// exposed by a service.
func (s *serviceCheck) checkExposed() {
	list, where, known := readExposed(s.Makes)
	service := expose.ServicePrefix + s.Makes
	if !known || strings.TrimSpace(list) == "" || exposes(service) != "" {
		return
	}
	s.add(finding.ExposeUnserved, finding.Warning, where,
		finding.Run("ln", "-s", filepath.Base(exposeScript), filepath.Join(rcdir.Init, service)), service)
}
