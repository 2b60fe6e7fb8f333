package preflight

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// checker checks services.
type checker struct {
	openrc System
	root   bool
	stale  map[string]bool // names that were stale for a while
	dns    map[string]bool // what makesResolvConf has found: many services may have one namespace
	inUse  []neighbour     // see neighbours
}

// serviceCheck is a service that is being checked.
type serviceCheck struct {
	Service
	settings  openrc.Settings
	from      map[string]finding.Where // of what looks set
	values    map[string]string        // of variables
	script    string                   // its path; empty if there is none
	onHost    bool                     // netns leads to the host's network
	byDefault bool                     // netns is that of serviceconf.Default
	run       *checker
}

// check returns nil for a service that has no settings of ours, unless it was
// named.
func (c *checker) check(name string, named bool) (*Service, error) {
	if err := openrc.CheckName(name); err != nil {
		return nil, err
	}
	s := serviceCheck{
		Service: Service{Name: name},
		from:    map[string]finding.Where{},
		run:     c,
	}
	s.script = scriptOf(name)
	files := serviceconf.Files(name)
	if s.script == "" && len(files) == 0 {
		if !named {
			return nil, nil // a link to nowhere
		}
		return nil, fmt.Errorf("service %q does not exist: there is neither %s/%[1]s nor %[3]s/%[1]s", name, rcdir.Init, rcdir.Conf)
	}
	for _, file := range files {
		s.readConf(file)
	}
	s.readSettings(files, named)
	s.checkName(c.openrc)
	if s.byDefault && !named && !serviceconf.InRunlevel(name, "*") {
		return nil, nil // one of very many
	}
	s.readScript(named)
	if s.Known {
		s.Netns, s.VRF = s.settings.Netns, s.settings.VRF
		if spec, err := s.settings.Spec(); err == nil {
			s.Lock = spec.Sockets.Lock
		}
	}
	switch {
	case s.makesNamespace():
		s.checkMaker(c.root)
		s.checkPublished()
	case publishes(name) != "":
		s.checkPublish(publishes(name))
	case s.settings.Confined():
		s.checkScript(c.openrc)
		s.checkOtherServices()
		s.checkSupervisor(c.openrc)
		s.checkStart(c.root, c.openrc)
		s.checkOrder()
	}
	s.checkEnters(files)
	if !named && s.Makes == "" && !s.settings.Confined() && len(s.Findings)+len(s.Unchecked) == 0 {
		return nil, nil
	}
	return &s.Service, nil
}

// checkName finds a service of a name that OpenRC takes for several, or for a
// pattern of files in its working directory. It reads their conf.d files.
func (s *serviceCheck) checkName(system System) {
	if !openrc.HasScript(s.Name) || !serviceconf.MayConfine(s.Name) || confd.Has(filepath.Join(system.Directory, ask.RunScript), `"$_conf_d/$RC_SVCNAME"`) {
		return // OpenRC 0.45 and 0.56 take a name as it is
	}
	base, _, _ := strings.Cut(s.Name, ".")
	for _, name := range []string{base, s.Name} {
		found, _ := filepath.Glob("/" + strings.ReplaceAll(name, "[!", "[^"))
		if strings.ContainsAny(name, " \t\n") || len(found) > 0 && strings.ContainsAny(name, "*?[") {
			s.add(finding.SettingsUnread, finding.Fails, finding.Where{Path: filepath.Join(rcdir.Conf, s.Name)}, finding.Remedy{})
			return
		}
	}
}

// checkOrder finds a service that the service of its network namespace waits for.
// Either would wait for the other.
func (s *serviceCheck) checkOrder() {
	script := maker(s.Netns)
	if script == "" || !openrc.ReadDependencies().Waits(filepath.Base(script), s.Name) {
		return
	}
	remedy := finding.Remedy{}.RunTo(filepath.Join(rcdir.Conf, s.Name), "echo", "netns=")
	if !s.byDefault {
		remedy = finding.Write(remove(s.from["netns"], "netns"))
	}
	s.add(finding.NamespaceWaits, finding.Warning, s.from["netns"], remedy, filepath.Base(script))
}

// scriptOf is the path of the init script of a service; empty if there is none.
// Each release of OpenRC has other directories for them besides the usual one.
func scriptOf(service string) string {
	path := filepath.Join(rcdir.Init, service)
	if _, err := os.Stat(path); err == nil {
		return path
	}
	path, err := askOpenRC("--resolve", service)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(path)
}
