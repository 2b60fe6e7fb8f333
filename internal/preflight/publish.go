package preflight

import (
	"fmt"
	"path/filepath"
	"strings"

	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/publish"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// publishScript is the init script of the services that publish ports.
var publishScript = filepath.Join(rcdir.Init, strings.TrimSuffix(publish.ServicePrefix, "."))

// publishes is the network namespace whose ports a service publishes; empty if it
// is none of ours.
func publishes(service string) string {
	name, found := strings.CutPrefix(service, publish.ServicePrefix)
	if !found || !same(filepath.Join(rcdir.Init, service), publishScript) {
		return ""
	}
	return name
}

// readPublished reads what the settings of a network namespace list, and where.
// Known is false if nobody can tell.
func readPublished(netns string) (list string, where finding.Where, known bool) {
	service := "netns." + netns
	values, err := serviceconf.Values(service, []string{publish.Setting})
	return values[publish.Setting], lastIn(serviceconf.Files(service), publish.Setting), err == nil
}

// checkPublish looks at what a service publishes.
func (s *serviceCheck) checkPublish(netns string) {
	for _, name := range openrc.Names {
		if where, set := s.from[name]; set && s.settings.Confined() {
			s.add(finding.SettingMisplacedPublish, finding.Fails, where, finding.Write(remove(where, name)), name)
		}
	}
	list, where, known := readPublished(netns)
	if !known {
		s.unchecked(finding.UncheckedError, fmt.Sprintf("what %s is in %s", publish.Setting, where.Path))
		return
	}
	if strings.TrimSpace(list) == "" {
		s.add(finding.PublishNothing, finding.Fails, finding.Where{Path: filepath.Join(rcdir.Conf, "netns."+netns)}, finding.Remedy{}, netns)
		return
	}
	s.from[publish.Setting] = where
	entries, err := publish.ParseList(list)
	if err != nil {
		var good []string
		for _, word := range strings.Fields(list) {
			if _, err := publish.ParseWords(append(good, word)); err == nil {
				good = append(good, word)
			}
		}
		s.add(finding.PublishBad, finding.Fails, where, s.edit(publish.Setting, strings.Join(good, " ")), err)
		return
	}
	s.checkOthersPorts(entries, where)
}

// checkOthersPorts looks for a port that another service has in its list too.
func (s *serviceCheck) checkOthersPorts(entries []publish.Entry, where finding.Where) {
	services, err := names(rcdir.Init)
	if err != nil {
		return
	}
	for _, other := range services {
		netns := publishes(other)
		if netns == "" || other == s.Name {
			continue
		}
		list, _, _ := readPublished(netns)
		theirs, _ := publish.ParseList(list)
		for _, entry := range entries {
			for _, their := range theirs {
				if entry.Clashes(their) {
					s.add(finding.PublishTaken, finding.Fails, where, finding.Remedy{}, entry.Name(), other)
				}
			}
		}
	}
}

// checkPublished looks whether what the settings of a network namespace list is
// published by a service.
func (s *serviceCheck) checkPublished() {
	list, where, known := readPublished(s.Makes)
	service := publish.ServicePrefix + s.Makes
	if !known || strings.TrimSpace(list) == "" || publishes(service) != "" {
		return
	}
	s.add(finding.PublishUnserved, finding.Warning, where,
		finding.Run("ln", "-s", filepath.Base(publishScript), filepath.Join(rcdir.Init, service)), service)
}
