package migrate

import (
	"bytes"
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/provision"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/script"
	"openrc-netns/internal/shell"
)

// service is one that is being looked at.
type service struct {
	Service
	script    string // its path, not that of a link; empty if there is none
	ours      bool   // that is one of ours
	patched   bool
	files     []*file // as a shell reads them
	variables map[string][]assigned

	uses   []use
	made   []making  // network namespaces that it makes or deletes
	moved  []moving  // devices
	hosts  []located // commands on the host's network
	inside []located // those of ip that name a network namespace to act in
	pairs  []pairing // command_args that begin with what command ends with
	said   map[said]bool
}

// said is what was remarked, and where.
type said struct {
	kind  Kind
	where finding.Where
}

// file is one that is read.
type file struct {
	path string
	src  []byte
	conf bool
	cuts []cut
	text []string // its lines, when they are wanted
	*script.Script
}

// cut is text to put in place of a part of a file, which is on one line.
type cut struct {
	start, end int
	text       string
}

// located is something in a file.
type located struct {
	file *file
	line int
	name string
}

// use is a way into a place that is known.
type use struct {
	located // by the name of the program that it runs
	spot
	unknown bool // one of the two is to be found out by hand
	cuts    []cut
}

// making is a network namespace that is made, or deleted.
type making struct {
	located
	add bool
	cut cut
}

// moving is a device that is moved into a network namespace.
type moving struct {
	located
	netns string
	cut   cut
}

// pairing is an assignment to command_args, the words of it, and what it enters.
type pairing struct {
	located
	start int // of the assignment
	quote string
	words []script.Word
	entry entry
}

// judge says what to write in place of all that.
func (s *service) judge() {
	for _, f := range s.files {
		for _, c := range f.Commands {
			s.remember(f, c)
		}
	}
	for _, f := range s.files {
		for _, c := range f.Commands {
			s.command(f, c)
		}
		for _, t := range f.Texts {
			s.text(f, t)
		}
	}
	for _, p := range s.pairs {
		s.pair(p)
	}
	if s.ours {
		for _, u := range s.uses {
			s.remark(OfNamespace, u.file, u.line)
		}
		return
	}
	if s.makesOnly() {
		for _, m := range s.made {
			s.remark(Makes, m.file, m.line, m.name)
		}
		return
	}
	if !s.place() {
		return
	}
	if !s.set() {
		return
	}
	s.prepare()
	s.edit()
}

// makesOnly reports whether the script makes a network namespace, or deletes
// one, and runs no daemon there.
func (s *service) makesOnly() bool {
	return len(s.made) > 0 && !slices.ContainsFunc(s.uses, func(u use) bool { return !u.setsUp() })
}

// setsUp reports whether what is run there only sets up networks.
func (u *use) setsUp() bool { return slices.Contains(actsOnNetwork, u.name) }

// place works out the one place where the service belongs; false if there are
// several.
func (s *service) place() bool {
	var places []spot
	add := func(p spot) {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, setsUp := range []bool{false, true} {
		for _, u := range s.uses {
			switch {
			case u.unknown || u.setsUp() != setsUp:
			case setsUp && u.vrf == "" && slices.ContainsFunc(places, func(p spot) bool { return p.netns == u.netns }):
				// What sets up a network needs no VRF.
			default:
				add(u.spot)
			}
		}
	}
	seen := map[finding.Where]bool{}
	for _, u := range s.uses {
		if line := s.line(u.file, u.line); !seen[line.Where] {
			seen[line.Where] = true
			s.Entries = append(s.Entries, line)
		}
	}
	if len(places) == 1 {
		s.Netns, s.VRF = places[0].netns, places[0].vrf
	}
	if len(places) < 2 {
		return true
	}
	var names []string
	for _, p := range places {
		names = append(names, p.String())
	}
	s.Remarks = append(s.Remarks, Remark{Kind: TwoPlaces, Names: names, Line: s.Entries[0]})
	return false
}

// spot is a place to run in.
type spot struct{ netns, vrf string }

func (p spot) String() string {
	switch {
	case p.vrf == "":
		return p.netns
	case p.netns == "":
		return "VRF " + p.vrf
	}
	return p.netns + ", VRF " + p.vrf
}

// set finds out which of the settings are to be written, and which are there;
// false if that is for somebody to decide.
func (s *service) set() (clear bool) {
	clear = true
	conf := filepath.Join(rcdir.Conf, s.Name)
	for _, setting := range []struct{ name, value string }{{"netns", s.Netns}, {"vrf", s.VRF}} {
		found, unsure := s.setting(setting.name)
		switch {
		case unsure != nil && setting.value != "":
			s.remark(OnlyShell, unsure, 0, setting.name)
			clear = false
		case found.Where.Path == "" && setting.value != "":
			s.Settings = append(s.Settings, Setting{conf, setting.name + "=" + shell.Quote(setting.value)})
		case found.Where.Path == "":
		case setting.value != "" && found.Value != setting.value:
			s.Remarks = append(s.Remarks, Remark{OtherSetting, found.Line, []string{setting.name, found.Value, setting.value}})
			clear = false
		default:
			s.Remarks = append(s.Remarks, Remark{SetAlready, found.Line, []string{setting.name}})
			if s.Netns == "" && setting.name == "netns" {
				s.Netns = found.Value
			}
			if s.VRF == "" && setting.name == "vrf" {
				s.VRF = found.Value
			}
		}
	}
	if !clear {
		s.Settings = nil
	}
	return clear
}

// value is a setting of a file.
type value struct {
	Line
	Value string
}

// setting is one of ours as conf.d has it; unsure is a file that may have it in
// a way that only a shell can read.
func (s *service) setting(name string) (found value, unsure *file) {
	for _, f := range s.files {
		if !f.conf {
			continue
		}
		list, err := confd.List(f.path, []string{name})
		if errors.As(err, new(*confd.SyntaxError)) {
			if list = confd.Candidates(f.path, "", []string{name}); len(list) == 0 && confd.Assigns(f.path, name) {
				unsure = f
			}
		}
		for _, a := range list {
			if a.Name == name {
				found, unsure = value{s.line(f, a.Line), a.Value}, nil
			}
		}
	}
	if found.Value == "" {
		found = value{} // that is the host's network
	}
	return found, unsure
}

// prepare is what has to be done for the network namespace, which now has to be
// there before the script runs.
func (s *service) prepare() {
	for _, m := range s.made {
		m.file.cuts = append(m.file.cuts, m.cut)
		if _, err := os.Stat(filepath.Join(rcdir.Init, "netns."+m.name)); m.add && err != nil && !slices.Contains(s.Links, m.name) {
			s.Links = append(s.Links, m.name)
		}
	}
	if s.Netns == "" && s.VRF == "" && len(s.uses) == 0 {
		return
	}
	var devices []string
	for _, m := range s.moved {
		if !slices.ContainsFunc(s.made, func(n making) bool { return n.name == m.netns && n.add }) ||
			slices.ContainsFunc(s.hosts, func(h located) bool { return hasWord(h.file, h.line, m.name) }) {
			s.hosts = append(s.hosts, located{m.file, m.line, "ip"})
			continue
		}
		devices = append(devices, m.name)
		m.file.cuts = append(m.file.cuts, m.cut)
	}
	if len(devices) > 0 {
		s.Settings = append(s.Settings, Setting{filepath.Join(rcdir.Conf, "netns."+s.Netns),
			provision.InterfacesSetting + "=" + shell.Quote(strings.Join(devices, " "))})
	}
	slices.SortStableFunc(s.hosts, func(a, b located) int {
		return cmp.Or(cmp.Compare(a.file.path, b.file.path), cmp.Compare(a.line, b.line))
	})
	if len(s.uses) > 0 || s.patched {
		for _, h := range s.hosts {
			s.remark(OnHost, h.file, h.line, h.name)
		}
	}
	s.setsUp()
}

// setsUp finds what sets up a network namespace that the script makes: it will be
// there before a start, and after a stop.
func (s *service) setsUp() {
	if !slices.ContainsFunc(s.made, func(m making) bool { return m.add }) {
		return
	}
	lines := slices.Clone(s.inside)
	for _, u := range s.uses {
		if u.setsUp() {
			lines = append(lines, u.located)
		}
	}
	slices.SortStableFunc(lines, func(a, b located) int { return cmp.Compare(a.line, b.line) })
	for _, l := range lines {
		if !hasWord(l.file, l.line, "lo") { // that is up
			s.remark(SetsUp, l.file, l.line, s.Netns)
		}
	}
}

// hasWord reports whether the line has a word.
func hasWord(f *file, line int, word string) bool {
	return slices.Contains(strings.Fields(textOf(f, line)), word)
}

// edit makes edits of the cuts. Words that go over the end of a line are for
// somebody to look at.
func (s *service) edit() {
	for _, u := range s.uses {
		u.file.cuts = append(u.file.cuts, u.cuts...)
	}
	for _, f := range s.files {
		for _, c := range f.cuts {
			if bytes.IndexByte(f.src[c.start:c.end], '\n') >= 0 || strings.Contains(c.text, "\n") {
				s.Settings, s.Edits, s.Links = nil, nil, nil
				s.remark(Unusual, f, 1+bytes.Count(f.src[:c.start], []byte("\n")))
				return
			}
		}
		slices.SortFunc(f.cuts, func(a, b cut) int { return cmp.Compare(a.start, b.start) })
		var text strings.Builder
		at := 0
		for _, c := range f.cuts {
			if c.start < at {
				continue // part of what has gone
			}
			text.Write(f.src[at:c.start])
			text.WriteString(c.text)
			at = c.end
		}
		text.Write(f.src[at:])
		before, after := strings.Split(string(f.src), "\n"), strings.Split(text.String(), "\n")
		for i := range before {
			if before[i] == after[i] {
				continue
			}
			line := strings.TrimRight(after[i], " \t")
			if rest, continued := strings.CutSuffix(line, `\`); continued && strings.HasSuffix(before[i], `\`) {
				switch {
				case strings.TrimSpace(rest) != "":
					line = strings.TrimRight(rest, " \t") + ` \`
				case i == 0 || !strings.HasSuffix(before[i-1], `\`):
					line = "" // the command begins on the next line
				default:
					line = strings.TrimRight(rest, " ") + `\`
				}
			}
			s.Edits = append(s.Edits, Edit{f.path, i + 1, before[i], line})
		}
	}
}

// remark adds one about a line of a file, or about all of it if line is 0.
func (s *service) remark(kind Kind, f *file, line int, names ...string) {
	r := Remark{kind, s.line(f, line), names}
	if s.said == nil {
		s.said = map[said]bool{}
	}
	if once := (said{kind, r.Where}); !s.said[once] {
		s.said[once] = true
		s.Remarks = append(s.Remarks, r)
	}
}

func (s *service) line(f *file, line int) Line {
	return Line{finding.Where{Path: f.path, Line: line}, strings.TrimSpace(textOf(f, line))}
}

// textOf is a line of a file; empty for line 0.
func textOf(f *file, line int) string {
	if f.text == nil {
		f.text = strings.Split(string(f.src), "\n")
	}
	if line < 1 || line > len(f.text) {
		return ""
	}
	return f.text[line-1]
}

// checkPlace is an error if no network namespace, or no device, can have that
// name.
func checkPlace(netns, vrf string) error {
	if netns != "" {
		if err := namespace.CheckName(netns); err != nil {
			return err
		}
	}
	if strings.ContainsAny(vrf, "/ \t\r\n") {
		return errors.New("no device can have that name")
	}
	return nil
}
