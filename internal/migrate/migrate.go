// Package migrate reads init scripts and conf.d for services that enter a
// network namespace or a VRF by themselves, by "ip netns exec" for instance, and
// works out what to write instead. It runs nothing and changes nothing.
//
// A line to write or to change is only given where the script says plainly what
// it does. Everything else is a remark: somebody has to look.
package migrate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/finding"
	"openrc-netns/internal/mounts"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/preflight"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/script"
	"openrc-netns/internal/serviceconf"
)

// Report is what Run found.
type Report struct {
	Patched  bool // OpenRC has Alpine's patches, which know netns and vrf too
	Services []Service
}

// Service is one that enters by itself, or that has settings already.
type Service struct {
	Name string
	// Netns and VRF are where it enters; empty for none, and if that is not
	// known.
	Netns, VRF string
	Running    bool      // OpenRC has it for more than stopped
	Entries    []Line    // where it enters, as the files have it
	Links      []string  // network namespaces that need a service netns.NAME, which does not exist
	Settings   []Setting // to add
	Edits      []Edit
	Remarks    []Remark
}

// Line is one of a file.
type Line struct {
	finding.Where
	Text string // without blanks around it
}

// Setting is a line to add to a file, which need not exist.
type Setting struct{ Path, Text string }

// Edit is a line of a file, counted from 1, and what to write in its place. Text
// is empty for an empty line.
type Edit struct {
	Path         string
	Line         int
	Before, Text string
}

// Remark is what there is to say of a service besides.
type Remark struct {
	Kind Kind
	Line
	Names []string // what it is about, as the Kind has it
}

// Kind is what a remark says.
type Kind string

const (
	// These are to be looked at by hand.

	InText       Kind = "in-text"        // it enters in a string or a here-document, which others read
	FromArgument Kind = "from-argument"  // the name is an argument of a function
	UnknownName  Kind = "unknown-name"   // the name is that of Names[0], a variable or more that only a shell can expand
	BadName      Kind = "bad-name"       // no network namespace or device can have it: Names[0] says why
	Unusual      Kind = "unusual"        // nsenter of a process or with other namespaces, ip -all, no command
	TwoVariables Kind = "two-variables"  // the words of it are in variables of their own
	TwoPlaces    Kind = "two-places"     // it enters several places: Names
	OtherSetting Kind = "other-setting"  // Names[0] is set to Names[1] already, and it enters Names[2]
	OnlyShell    Kind = "only-shell"     // only a shell can tell what Names[0] is set to
	OnHost       Kind = "on-host"        // Names[0] would act inside, and acts on the host's network now
	Makes        Kind = "makes"          // it makes the network namespace Names[0], and runs no daemon there
	SetsUp       Kind = "sets-up"        // it sets up the network namespace Names[0], which will be there before and after
	MakesUnknown Kind = "makes-unknown"  // it makes or deletes one whose name only a shell can tell, or on several lines
	OfNamespace  Kind = "of-a-namespace" // it is a service netns.NAME of ours, which runs on the host's network
	NoScript     Kind = "no-script"      // the file cannot be taken apart: Names[0] says why

	// The rest is for knowledge.

	SetAlready  Kind = "set-already"  // the setting Names[0] stays
	EntersAgain Kind = "enters-again" // it enters what the setting Names[0] names, which does no harm
	Shared      Kind = "shared"       // the script is that of other services too: Names
	Unread      Kind = "unread"       // the file cannot be read: Names[0] says why
)

// ByHand reports whether somebody has to look.
func (k Kind) ByHand() bool {
	return !slices.Contains([]Kind{SetAlready, EntersAgain, Shared, Unread}, k)
}

// ToDo reports whether there is something to write, or to look at.
func (s *Service) ToDo() bool {
	return len(s.Settings)+len(s.Edits) > 0 || slices.ContainsFunc(s.Remarks, func(r Remark) bool { return r.Kind.ByHand() })
}

// Run looks at the services called names, or at all if there are no names. The
// error is a *preflight.NotExistError, or says that no service can have the name
// or that a directory cannot be read.
//
// The caller has locked the thread: root's is moved to the mounts of process 1.
func Run(names []string) (*Report, error) {
	if privilege.CheckSysAdmin() == nil {
		if err := mounts.EnterHost(); err != nil {
			return nil, err
		}
	}
	report := &Report{Patched: preflight.Patched()}
	named := len(names) > 0
	all, err := preflight.Services()
	if err != nil && !(named && errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	if !named {
		names = all
	}
	for _, name := range names {
		s, err := look(name, report.Patched)
		if err != nil {
			return nil, err
		}
		if named && s == nil {
			return nil, &preflight.NotExistError{Service: name}
		}
		if s == nil || !named && !s.speaksFor(report.Patched) {
			continue
		}
		s.findShared(all)
		report.Services = append(report.Services, s.Service)
	}
	return report, nil
}

// speaksFor reports whether there is something to say of a service that nobody
// has asked for. That it has settings is news on an OpenRC that is patched, and a
// directory or a FIFO is no service.
func (s *service) speaksFor(patched bool) bool {
	return s.ToDo() || slices.ContainsFunc(s.Remarks, func(r Remark) bool {
		if r.Kind == Unread {
			info, err := os.Stat(r.Path)
			return err == nil && info.Mode().IsRegular()
		}
		return r.Kind != SetAlready || patched
	})
}

// look returns nil where there is neither a script nor a file in conf.d.
func look(name string, patched bool) (*service, error) {
	if err := openrc.CheckName(name); err != nil {
		return nil, err
	}
	s := &service{Service: Service{Name: name, Running: openrc.ReadState(name) != openrc.Stopped}, patched: patched, variables: map[string][]assigned{}}
	for _, path := range serviceconf.Files(name) {
		s.read(path, true)
	}
	confs := len(s.files) + len(s.Remarks)
	s.script = preflight.Script(name)
	if s.script == "" && confs == 0 {
		return nil, nil
	}
	if s.script != "" {
		if path, err := filepath.EvalSymlinks(s.script); err == nil {
			s.script = path // what an editor should be given
		}
		s.ours = isOurs(s.script)
		if !s.ours {
			s.read(s.script, false)
		}
	}
	s.judge()
	return s, nil
}

// isOurs reports whether the script is that of a network namespace, or of what
// the host reaches there.
func isOurs(path string) bool {
	info, err := os.Stat(path)
	for _, name := range []string{"netns", "netns-expose"} {
		ours, oursErr := os.Stat(filepath.Join(rcdir.Init, name))
		if err == nil && oursErr == nil && os.SameFile(info, ours) {
			return true
		}
	}
	return false
}

// read takes a file in.
func (s *service) read(path string, conf bool) {
	src, err := confd.Load(path)
	if err != nil {
		s.Remarks = append(s.Remarks, Remark{Kind: Unread, Line: Line{Where: finding.Where{Path: path}}, Names: []string{err.Error()}})
		return
	}
	f := &file{path: path, src: src, conf: conf}
	var wrong *script.Error
	if f.Script, err = script.Parse(src); errors.As(err, &wrong) && concerns(src) {
		s.remark(NoScript, f, wrong.Line, wrong.Problem)
	}
	s.files = append(s.files, f)
}

// concerns reports whether a file has words that this package looks for, be it
// in a comment.
func concerns(src []byte) bool {
	for _, word := range []string{"netns", "vrf exec", "nsenter"} {
		if strings.Contains(string(src), word) {
			return true
		}
	}
	return false
}

// findShared says which other services have a script that is to be edited.
func (s *service) findShared(all []string) {
	if !slices.ContainsFunc(s.Edits, func(e Edit) bool { return e.Path == s.script }) {
		return
	}
	var names []string
	for _, other := range all {
		if path, err := filepath.EvalSymlinks(filepath.Join(rcdir.Init, other)); err == nil && path == s.script && other != s.Name {
			names = append(names, other)
		}
	}
	if len(names) > 0 {
		s.Remarks = append(s.Remarks, Remark{Kind: Shared, Line: Line{Where: finding.Where{Path: s.script}}, Names: names})
	}
}
