package preflight

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/serviceconf"
)

// readConf reads where one file of conf.d has what looks like settings.
func (s *serviceCheck) readConf(file string) {
	switch _, err := confd.Load(file); {
	case errors.Is(err, fs.ErrPermission):
		s.unchecked(finding.UncheckedFile, file)
		return
	case err != nil:
		s.unchecked(finding.UncheckedError, err)
		return
	}
	for _, a := range confd.Assignments(file) {
		where := finding.Where{Path: file, Line: a.Line}
		s.from[a.Name] = where
		if a.Name == serviceconf.DefaultSetting {
			s.add(finding.SettingMisplacedGlobal, finding.Warning, where, finding.Write(rename(where, a.Name, "netns")), a.Name)
		}
	}
	s.checkSpelling(file, s.script)
}

// readSettings reads the settings, and what is in files that do not say them plainly.
func (s *serviceCheck) readSettings(files []string, named bool) {
	settings, err := serviceconf.Read(s.Name)
	fallback, _ := serviceconf.ReadDefault()
	_, said := s.from["netns"]
	s.byDefault = settings.Netns != "" && settings.Netns == fallback.Netns && !said
	s.settings = settings
	if s.byDefault {
		s.from["netns"] = whereSet(serviceconf.DefaultSetting)
	}
	for _, name := range openrc.Names {
		if _, said := s.from[name]; !said && settings.Get(name) != "" && len(files) > 0 { // in another file, which that one reads
			s.from[name] = finding.Where{Path: files[len(files)-1]}
		}
	}
	s.Known = err == nil || errors.As(err, new(*serviceconf.NotExistError))
	var unknown *serviceconf.UnknownError
	var fails *ask.FailsError
	switch {
	case s.Known:
		s.checkUnreached(files)
	case errors.As(err, &fails):
		s.add(finding.SettingsFail, finding.Fails, finding.Where{Path: files[len(files)-1]}, finding.Remedy{}, fails.Why)
	case errors.As(err, &unknown) && (named || serviceconf.MayConfine(s.Name)):
		s.add(finding.SettingsUnreadable, finding.Warning, finding.Where{Path: unknown.Path, Line: unknown.Line}, finding.Remedy{}, unknown.Why)
	case errors.As(err, &unknown):
		s.unchecked(finding.UncheckedError, err)
	}
}

// checkUnreached looks for settings that stand in a file, on lines that begin with
// them, and are not what a shell has when it has read them all: some files come with a
// return as the last line.
func (s *serviceCheck) checkUnreached(files []string) {
	for _, name := range openrc.Names {
		where := s.from[name]
		line := strings.TrimPrefix(lineOf(where.Path, where.Line), "export ")
		rest, begins := strings.CutPrefix(line, name+"=")
		value := s.settings.Get(name)
		var found confd.Assignment
		for _, a := range confd.Assignments(where.Path) {
			if a.Line == where.Line && a.Name == name {
				found = a
			}
		}
		if !slices.Contains(files, where.Path) || !begins || rest == "" || found.Known && found.Value == value || !found.Known && value != "" {
			continue
		}
		for at := where.Line - 1; at > 0; at-- {
			above := lineOf(where.Path, at)
			if first, _, _ := strings.Cut(above+" ", " "); first == "return" {
				s.add(finding.SettingUnreached, finding.Outside, where,
					finding.Write(finding.Edit{Path: where.Path, Line: where.Line}, finding.Edit{Path: where.Path, Line: at, Text: line + "; " + above}), name)
				return
			}
		}
		s.add(finding.SettingUnreachedValue, finding.Outside, where, finding.Remedy{}, name, value)
	}
	s.checkShadowed(files)
}

// checkShadowed looks for settings in a file that OpenRC does not read, as there is one
// for the runlevel.
func (s *serviceCheck) checkShadowed(files []string) {
	for _, file := range files {
		plain, found := strings.CutSuffix(file, "."+ask.Runlevel())
		if !found || slices.Contains(files, plain) || plain == filepath.Join(rcdir.Conf, strings.TrimSuffix(s.Name, "."+ask.Runlevel())) && strings.HasSuffix(s.Name, "."+ask.Runlevel()) {
			continue
		}
		for _, a := range confd.Assignments(plain) {
			if slices.Contains(confining, a.Name) && s.settings.Get(a.Name) == "" {
				s.add(finding.SettingUnreachedFile, finding.Outside, finding.Where{Path: plain, Line: a.Line}, finding.Remedy{}, a.Name, file)
				return
			}
		}
	}
}

// whereSet is where a variable has its value for all services.
func whereSet(name string) finding.Where { return lastIn(serviceconf.GlobalFiles(), name) }

// lastIn is where the last of files that assigns to name does.
func lastIn(files []string, name string) finding.Where {
	var where finding.Where
	for _, file := range files {
		for _, a := range confd.Assignments(file) {
			if a.Name == name {
				where = finding.Where{Path: file, Line: a.Line}
			}
		}
	}
	return where
}

// variables are those of OpenRC that decide which supervisor starts what.
var variables = []string{"supervisor", "name", "command", "command_user", "chroot", "output_logger", "error_logger", "s6_service_path"}

// readScript reads what the init script sets, which is sourced after the files of
// conf.d: one that may set something of ours, or of a service that was named.
func (s *serviceCheck) readScript(named bool) {
	ours := confd.MayAssign(s.script, openrc.Names)
	if s.script == "" || !s.Known || isOurs(s.script) || !ours && !s.settings.Confined() && !named {
		return
	}
	interpreter := lineOf(s.script, 1)
	if !s.run.openrc.works() || !strings.Contains(interpreter, "openrc-run") && !strings.Contains(interpreter, "runscript") {
		s.values, _ = serviceconf.Values(s.Name, variables)
		return
	}
	if !named && !ours { // many services may be looked at
		s.guessScript(false, errors.New("check asks it if it is given the name of the service"))
		return
	}
	before, after, err := ask.Script(s.Name, append(slices.Clone(openrc.Names), variables...))
	var fails *ask.FailsError
	switch {
	case errors.As(err, &fails):
		s.add(finding.SettingsFail, finding.Fails, finding.Where{Path: s.script}, finding.Remedy{}, fails.Why)
		return
	case err != nil:
		s.guessScript(ours, err)
		return
	}
	s.values = after
	where := maps.Clone(s.from)
	for _, name := range append(slices.Clone(openrc.Names), variables[0]) {
		if before[name] != after[name] {
			where[name] = lastIn([]string{s.script}, name)
		}
	}
	was := s.settings
	for _, name := range openrc.Names {
		s.settings.Set(name, after[name])
	}
	if s.settings != was && was.Confined() {
		s.checkConflict(was, where)
	}
	s.from = where
}

// guessScript is readScript where nobody can tell: by what stands in it.
func (s *serviceCheck) guessScript(ours bool, why error) {
	values, _ := serviceconf.Values(s.Name, variables)
	s.values = map[string]string{}
	maps.Copy(s.values, values)
	for _, a := range confd.Assignments(s.script) {
		if slices.Contains(variables, a.Name) {
			if a.Name == "command" && !a.Known {
				a.Value = "unknown"
			}
			s.values[a.Name], s.from[a.Name] = a.Value, finding.Where{Path: s.script, Line: a.Line}
			ours = ours || a.Name == variables[0] && !a.Known
		}
	}
	if ours {
		s.unchecked(finding.UncheckedScript, s.script, why)
	}
}

// checkConflict finds what the script changes of settings that conf.d has made.
func (s *serviceCheck) checkConflict(was openrc.Settings, where map[string]finding.Where) {
	for _, name := range openrc.Names {
		if s.settings.Get(name) == was.Get(name) {
			continue
		}
		old, set := s.from[name]
		if !set {
			old = where[name]
		}
		var remedy finding.Remedy
		if !s.byDefault || name != "netns" {
			remedy = finding.Write(remove(old, name))
		}
		s.add(finding.SettingsConflict, finding.Fails, finding.Where{Path: s.script, Line: where[name].Line}, remedy, name)
		return
	}
}

// checkValues looks at the settings that know a few words only.
func (s *serviceCheck) checkValues() {
	for _, setting := range []struct {
		name  string
		alone openrc.Settings
	}{
		{"netns_etc", openrc.Settings{Etc: s.settings.Etc}},
		{"netns_lock", openrc.Settings{Lock: s.settings.Lock}},
	} {
		if _, err := setting.alone.Spec(); err != nil {
			s.add(finding.SettingBad, finding.Fails, s.from[setting.name], s.edit(setting.name, "yes"), err)
		}
	}
	if _, err := (openrc.Settings{Keep: s.settings.Keep}).Spec(); err != nil {
		var good []string
		for _, name := range openrc.Capabilities(s.settings.Keep) {
			if launch.CheckKeep([]string{name}) == nil {
				good = append(good, name)
			}
		}
		s.add(finding.SettingBadKeep, finding.Fails, s.from["netns_keep_caps"], s.edit("netns_keep_caps", strings.Join(good, " ")), err)
	}
}
