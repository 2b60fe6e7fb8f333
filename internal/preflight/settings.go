package preflight

import (
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/launch"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/serviceconf"
)

// supervisorName is OpenRC's own setting.
const supervisorName = "supervisor"

// readConf reads where one file of conf.d says what.
func (s *serviceCheck) readConf(file string) {
	found, err := confd.List(file, openrc.Names)
	switch {
	case errors.Is(err, fs.ErrPermission):
		s.unchecked(finding.UncheckedFile, file)
		return
	case errors.As(err, new(*confd.SyntaxError)):
		found = confd.Candidates(file, "netns_", nil)
	case err != nil:
		s.unchecked(finding.UncheckedError, err)
		return
	}
	for _, a := range found {
		s.take(file, a)
		if a.Name == serviceconf.DefaultSetting {
			where := finding.Where{Path: file, Line: a.Line}
			s.add(finding.SettingMisplacedGlobal, finding.Warning, where, finding.Write(rename(where, a.Name, "netns")), a.Name)
		}
	}
	s.checkSpelling(file, found)
	s.checkUnreached(file)
	if !confd.Assigns(file, supervisorName) {
		return
	}
	s.supervisor = ""
	if found, err := confd.Head(file, []string{supervisorName}); err == nil {
		for _, a := range found {
			s.take(file, a)
		}
	}
}

// checkSpelling looks for what is none of the settings, and like one.
func (f *Found) checkSpelling(file string, assigned []confd.Assignment) {
	if name := filepath.Base(file); name == "net" || strings.HasPrefix(name, "net.") {
		return // netifrc's: netns_eth0 is for the interface eth0
	}
	for _, a := range assigned {
		if known := nearestSetting(a.Name); known != "" {
			where, gravity := finding.Where{Path: file, Line: a.Line}, finding.Warning
			if known == serviceconf.DefaultSetting {
				gravity = finding.Outside // what it was meant for says nothing itself
			}
			f.add(finding.SettingUnknown, gravity, where, finding.Write(rename(where, a.Name, known)), a.Name, known)
		}
	}
}

// rename is the edit that gives the variable called name another one.
func rename(where finding.Where, name, other string) finding.Edit {
	return edit(where, func(line string) string { return strings.Replace(line, name+"=", other+"=", 1) })
}

// checkUnreached looks for settings below a return, where nobody reads them:
// some files come with one as the last line.
func (s *serviceCheck) checkUnreached(file string) {
	found, line := confd.Unreached(file, openrc.Names)
	if len(found) == 0 {
		return
	}
	a := found[0]
	var remedy finding.Remedy
	if text := strings.TrimSpace(lineOf(file, a.Line)); strings.HasPrefix(text, a.Name+"=") && !strings.ContainsAny(text, " \t;#") {
		remedy = finding.Write(finding.Edit{Path: file, Line: a.Line}, finding.Edit{Path: file, Line: line, Text: text + "; " + lineOf(file, line)})
	}
	s.add(finding.SettingUnreached, finding.Outside, finding.Where{Path: file, Line: a.Line}, remedy, a.Name)
}

// readSettings reads the settings as all do who run no shell. Of a service
// whose files name none of them it is nobody's business what cannot be read.
func (s *serviceCheck) readSettings(files []string) {
	settings, err := serviceconf.Read(s.Name)
	s.byDefault = s.settings.Netns == "" && settings.Netns != ""
	s.settings = settings
	if s.byDefault {
		s.from["netns"] = whereSet(serviceconf.DefaultSetting)
	}
	s.Known = err == nil || errors.As(err, new(*serviceconf.NotExistError))
	var syntax *confd.SyntaxError
	if !errors.As(err, &syntax) || !serviceconf.MaySetNetns(s.Name) {
		return
	}
	s.unreadable = true
	s.add(finding.SettingsUnreadable, finding.Warning, finding.Where{Path: syntax.Path, Line: syntax.Line}, finding.Remedy{}, syntax.Problem, syntax.Remedy)
	for _, file := range files {
		for _, a := range confd.Candidates(file, "netns", []string{"netns"}) {
			if a.Name != "netns" || a.Value == "" || maker(a.Value) != "" {
				continue
			}
			ns, err := s.run.open(a.Value)
			if err == nil {
				ns.Close()
				continue
			}
			what, _, _ := strings.Cut(err.Error(), "; ")
			s.unchecked(finding.UncheckedSetting, file, a.Line, what)
		}
	}
}

// whereSet is where a variable has its value for all services.
func whereSet(name string) finding.Where {
	var where finding.Where
	for _, file := range serviceconf.GlobalFiles() {
		found, _ := confd.List(file, []string{name})
		for _, a := range found {
			if a.Name == name {
				where = finding.Where{Path: file, Line: a.Line}
			}
		}
	}
	return where
}

func (s *serviceCheck) take(file string, a confd.Assignment) {
	switch {
	case a.Name == supervisorName:
		s.supervisor = a.Value
	case slices.Contains(openrc.Names, a.Name):
		s.settings.Set(a.Name, a.Value) // readSettings has the last word on those of conf.d
	default:
		return
	}
	s.from[a.Name] = finding.Where{Path: file, Line: a.Line}
}

// readScript reads what the init script says as plainly as a file of conf.d
// does. It is sourced after those.
func (s *serviceCheck) readScript() {
	if s.script == "" {
		return
	}
	found, err := confd.Head(s.script, append([]string{supervisorName}, openrc.Names...))
	if err != nil {
		return
	}
	before, confined := s.settings, s.settings.Confined()
	inConf := maps.Clone(s.from)
	var changed *confd.Assignment
	for i, a := range found {
		previous := s.settings
		s.take(s.script, a)
		if s.settings != previous {
			changed = &found[i]
		}
	}
	if confined && s.settings != before && !s.unreadable {
		old, set := inConf[changed.Name]
		if !set {
			old = s.from[changed.Name]
		}
		remedy := finding.Write(remove(old, changed.Name))
		if s.byDefault && changed.Name == "netns" {
			remedy = finding.Remedy{}
		}
		s.add(finding.SettingsConflict, finding.Fails, finding.Where{Path: s.script, Line: changed.Line}, remedy, changed.Name)
	}
	if !confd.Mentions(s.script, supervisorName) {
		return
	}
	// A script that sets it in a way that cannot be read leaves nothing known.
	for _, a := range found {
		if a.Name == supervisorName {
			return
		}
	}
	s.supervisor = ""
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
