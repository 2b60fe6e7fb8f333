package preflight

import (
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/serviceconf"
)

// makesNamespace reports whether the script is ours, linked to netns.NAME.
func (s *serviceCheck) makesNamespace() bool {
	name, found := strings.CutPrefix(s.Name, "netns.")
	if !found || s.script == "" {
		return false
	}
	script, err := os.Stat(s.script)
	ours, oursErr := os.Stat(filepath.Join(initDir, "netns"))
	if err != nil || oursErr != nil || !os.SameFile(script, ours) {
		return false
	}
	s.Makes = name
	return true
}

// checkMaker looks at what a service of a network namespace is told.
func (s *serviceCheck) checkMaker() {
	if err := namespace.CheckName(s.Makes); err != nil {
		s.add(finding.NamespaceBadNameMaker, finding.Fails, finding.Where{Path: s.script}, finding.Run("mv", s.script, filepath.Join(initDir, "netns.vpn")), err)
	}
	for _, name := range openrc.Names {
		if where, set := s.from[name]; set && s.settings.Confined() {
			s.add(finding.SettingMisplaced, finding.Fails, where, finding.Write(remove(where, name)), name)
		}
	}
	s.checkList("netns_interfaces", finding.InterfaceBad, func(list string) error {
		_, err := provision.ParseInterfaces(list)
		return err
	})
	s.checkList("netns_sysctl", finding.SysctlBad, func(list string) error {
		_, err := provision.ParseSysctls(list)
		return err
	})
}

// checkList looks at a list that the start takes apart, as the start does.
func (s *serviceCheck) checkList(name string, id finding.ID, parse func(string) error) {
	list := ""
	for _, file := range serviceconf.Files(s.Name) {
		found, err := confd.Head(file, []string{name})
		if err != nil {
			return // readConf has said so
		}
		if len(found) == 0 && confd.Assigns(file, name) {
			s.unchecked(finding.UncheckedList, name, file)
			return
		}
		for _, a := range found {
			list = a.Value
			s.from[name] = finding.Where{Path: file, Line: a.Line}
		}
	}
	err := parse(list)
	if err == nil {
		return
	}
	var good []string
	for _, word := range strings.Fields(list) {
		if parse(strings.Join(append(good, word), " ")) == nil {
			good = append(good, word)
		}
	}
	s.add(id, finding.Fails, s.from[name], s.edit(name, strings.Join(good, " ")), err)
}
