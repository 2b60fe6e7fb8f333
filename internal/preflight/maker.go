package preflight

import (
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/serviceconf"
)

// makesNamespace reports whether the script is ours, linked to netns.NAME.
func (s *subject) makesNamespace() bool {
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

// lookAtMaker looks at what a service of a network namespace is told.
func (s *subject) lookAtMaker() {
	if err := namespace.CheckName(s.Makes); err != nil {
		s.add("namespace-bad-name", Fails, Where{Path: s.script}, err.Error(),
			"no network namespace can have that name", run("link the script to another one", "mv "+s.script+" "+filepath.Join(initDir, "netns.vpn")))
	}
	for _, name := range openrc.Names {
		if where, set := s.from[name]; set && s.settings.Confined() {
			s.add("setting-misplaced", Fails, where,
				"the service of a network namespace has the setting \""+name+"\"",
				"it makes the network namespace, and has to run on the host's network",
				write("remove it", Edit{where.Path, where.Line, without(lineOf(where.Path, where.Line), name)}))
		}
	}
	s.lookAtList("netns_interfaces", "interface-bad", "what is not an interface cannot be moved in", func(list string) error {
		_, err := provision.ParseInterfaces(list)
		return err
	})
	s.lookAtList("netns_sysctl", "sysctl-bad", "what is not a setting of the network cannot be set", func(list string) error {
		_, err := provision.ParseSysctls(list)
		return err
	})
}

// lookAtList looks at a list that the start takes apart, as the start does.
func (s *subject) lookAtList(name, id, why string, parse func(string) error) {
	list := ""
	for _, file := range serviceconf.Files(s.Name) {
		found, err := confd.Head(file, []string{name})
		if err != nil {
			return // readConf has said so
		}
		if len(found) == 0 && confd.Assigns(file, name) {
			s.Unchecked = append(s.Unchecked, name+" in "+file+": only a shell can read it")
			return
		}
		for _, a := range found {
			list = a.Value
			s.from[name] = Where{file, a.Line}
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
	s.add(id, Fails, s.from[name], err.Error(), why, s.edit("keep what is right", name, strings.Join(good, " ")))
}
