package preflight

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
	"openrc-netns/internal/wgquick"
)

// makerScript is the init script of the services that make namespaces.
var makerScript = filepath.Join(rcdir.Init, "netns")

// makesNamespace reports whether the script is ours, linked to netns.NAME.
func (s *serviceCheck) makesNamespace() bool {
	name, found := strings.CutPrefix(s.Name, "netns.")
	if !found || !same(s.script, makerScript) {
		return false
	}
	s.Makes = name
	return true
}

// isOurs reports whether an init script is one that comes with the drop-in.
func isOurs(script string) bool { return same(script, makerScript) || same(script, publishScript) }

// same reports whether two paths lead to one file.
func same(a, b string) bool {
	first, err := os.Stat(a)
	second, secondErr := os.Stat(b)
	return err == nil && secondErr == nil && os.SameFile(first, second)
}

// checkMaker looks at what a service of a network namespace is told.
func (s *serviceCheck) checkMaker(root bool) {
	if err := namespace.CheckName(s.Makes); err != nil {
		s.add(finding.NamespaceBadNameMaker, finding.Fails, finding.Where{Path: s.script}, finding.Run("mv", s.script, filepath.Join(rcdir.Init, "netns.vpn")), err)
	}
	for _, name := range openrc.Names {
		if where, set := s.from[name]; set && s.settings.Confined() {
			s.add(finding.SettingMisplaced, finding.Fails, where, finding.Write(remove(where, name)), name)
		}
	}
	settings, known := readMaker(s.Name)
	spec, warnings, mistakes := settings.Spec(s.Makes)
	if !known {
		s.unchecked(finding.UncheckedError, fmt.Sprintf("what the settings of %s are", s.Name))
		return
	}
	for _, m := range mistakes {
		s.addMistake(m, settings)
	}
	for _, w := range warnings {
		where := finding.Where{Path: w.Path, Line: w.Line}
		if w.Line == 0 {
			s.add(finding.WireGuardReadable, finding.Warning, where, finding.Run("chmod", "600", w.Path), w.Problem)
		} else {
			s.add(finding.WireGuardPeers, finding.Warning, where, finding.Remedy{}, w.Problem, w.Remedy)
		}
	}
	if len(mistakes) == 0 {
		s.checkWireGuard(spec, root)
	}
}

// list is a setting that is one of words.
type list struct {
	id    finding.ID
	parse func(string) error
	value func(provision.Settings) string
}

var lists = map[string]list{
	provision.InterfacesSetting: {finding.InterfaceBad, parser(provision.ParseInterfaces), func(s provision.Settings) string { return s.Interfaces }},
	provision.SysctlSetting:     {finding.SysctlBad, parser(provision.ParseSysctls), func(s provision.Settings) string { return s.Sysctl }},
	provision.VethSetting:       {finding.VethBad, parser(provision.ParseVeths), func(s provision.Settings) string { return s.Veth }},
	provision.DNSSetting:        {finding.DNSBad, parser(provision.ParseDNS), func(s provision.Settings) string { return s.DNS }},
	provision.WireGuardSetting:  {finding.WireGuardBad, parser(provision.ParseFiles), func(s provision.Settings) string { return s.WireGuard }},
}

func parser[T any](parse func(string) (T, error)) func(string) error {
	return func(text string) error {
		_, err := parse(text)
		return err
	}
}

func (s *serviceCheck) addMistake(m provision.Mistake, settings provision.Settings) {
	var fault *wgquick.Fault
	known := lists[m.Setting]
	switch {
	case errors.As(m.Err, &fault):
		s.add(finding.WireGuardFile, finding.Fails, finding.Where{Path: fault.Path, Line: fault.Line}, finding.Remedy{}, fault.Problem, fault.Remedy)
	case errors.Is(m.Err, fs.ErrPermission):
		s.unchecked(finding.UncheckedError, m.Err)
	case m.File != "":
		s.add(finding.WireGuardNoFile, finding.Fails, s.from[m.Setting], finding.Remedy{}, m.Err)
	case known.parse != nil && known.parse(known.value(settings)) != nil:
		var good []string
		for _, word := range strings.Fields(known.value(settings)) {
			if known.parse(strings.Join(append(good, word), " ")) == nil {
				good = append(good, word)
			}
		}
		s.add(known.id, finding.Fails, s.from[m.Setting], s.edit(m.Setting, strings.Join(good, " ")), m.Err)
	default:
		id := finding.InterfaceClash
		switch {
		case strings.HasPrefix(m.Setting, provision.ConfigPrefix):
			id = finding.AddressBad
		case strings.HasPrefix(m.Setting, provision.RoutesPrefix):
			id = finding.RouteBad
		}
		what, remedy := cutRemedy(m.Err.Error())
		s.add(id, finding.Fails, s.from[m.Setting], finding.Remedy{}, strings.TrimPrefix(what, m.Setting+": "), remedy)
	}
}

// cutRemedy takes the remedy off an error.
func cutRemedy(text string) (what, remedy string) {
	if what, remedy, found := strings.Cut(text, "; "); found {
		return what, remedy
	}
	at := strings.LastIndex(text, ": ")
	return text[:at], text[at+2:]
}

// readMaker reads what conf.d sets for the service of a namespace. Known is
// false if nobody can tell.
func readMaker(service string) (settings provision.Settings, known bool) {
	settings.Config, settings.Routes = map[string]string{}, map[string]string{}
	names := []string{provision.InterfacesSetting, provision.WireGuardSetting, provision.VethSetting, provision.DNSSetting, provision.SysctlSetting}
	for _, file := range serviceconf.Files(service) {
		for _, a := range confd.Assignments(file) {
			if strings.HasPrefix(a.Name, provision.ConfigPrefix) || strings.HasPrefix(a.Name, provision.RoutesPrefix) {
				names = append(names, a.Name)
			}
		}
	}
	slices.Sort(names)
	values, err := serviceconf.Values(service, slices.Compact(names))
	for name, value := range values {
		setMaker(&settings, name, value)
	}
	return settings, err == nil
}

func setMaker(settings *provision.Settings, name, value string) {
	switch name {
	case provision.InterfacesSetting:
		settings.Interfaces = value
	case provision.WireGuardSetting:
		settings.WireGuard = value
	case provision.VethSetting:
		settings.Veth = value
	case provision.DNSSetting:
		settings.DNS = value
	case provision.SysctlSetting:
		settings.Sysctl = value
	}
	for prefix, values := range map[string]map[string]string{provision.ConfigPrefix: settings.Config, provision.RoutesPrefix: settings.Routes} {
		if iface, found := strings.CutPrefix(name, prefix); found {
			if values[iface] = value; value == "" {
				delete(values, iface) // as to the init script
			}
		}
	}
}

// checkWireGuard finds out whether WireGuard interfaces can be made here.
func (s *serviceCheck) checkWireGuard(spec provision.Spec, root bool) {
	if len(spec.WireGuard) == 0 {
		return
	}
	if !root {
		s.unchecked(finding.UncheckedWireGuard)
		return
	}
	if err := provision.CheckWireGuard(); err != nil {
		what, remedy := cutRemedy(err.Error())
		s.add(finding.WireGuardMissing, finding.Fails, s.from[provision.WireGuardSetting], finding.Remedy{}, what, remedy)
	}
}
