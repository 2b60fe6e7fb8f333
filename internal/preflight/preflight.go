// Package preflight finds out, before anything is started, what would keep a
// service from running where its settings say. It reads: no init script is run,
// and of OpenRC nothing but openrc-run.sh, on an empty script of our own.
//
// What a start would do is not done a second time here: the plan of the start is
// made and rehearsed (openrc.Rehearse), and everything that this package says of
// its own is a closer look at why that fails. So check and start cannot disagree.
package preflight

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"openrc-netns/internal/mounts"
	"openrc-netns/internal/privilege"
)

// ErrNotOpenRC says that this machine has no OpenRC to look at.
var ErrNotOpenRC = errors.New("there is no OpenRC here: no openrc-run.sh in the directories where OpenRC keeps its shell files")

// Effect is what comes of a finding if nobody does anything about it.
type Effect string

// The effects, the worst one first.
const (
	// Outside: it runs on the host's network, without a word.
	Outside Effect = "outside"
	// Fails: it does not start.
	Fails Effect = "fails"
	// Warning: it starts in its place, and something is not as it was meant.
	Warning Effect = "warning"
)

// Finding is one thing that is not as it should be.
type Finding struct {
	ID     string `json:"id"` // never changes its meaning
	Effect Effect `json:"effect"`
	Where  Where  `json:"where"`
	What   string `json:"what"` // one line, lower case, no full stop; so are the next two
	Why    string `json:"why"`
	Remedy Remedy `json:"remedy"`
}

// Where is a place to look at.
type Where struct {
	Path string `json:"path"`
	Line int    `json:"line"` // from 1; 0 where the whole of it is meant
}

// Remedy is what to do: in words, and where it can be given literally as well,
// commands for a shell of root and lines of files to replace.
type Remedy struct {
	Text     string   `json:"text"`
	Commands []string `json:"commands"`
	Edits    []Edit   `json:"edits"`
}

// Edit is a line of a file and what to write in its place. An empty text stands
// for an empty line.
type Edit struct {
	Path string `json:"path"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Report is what Look found.
type Report struct {
	System   System    `json:"system"`
	Services []Service `json:"services"`
}

// System is what all services have in common.
type System struct {
	OpenRC    string    `json:"openrc"`         // version; empty if it cannot be had
	Directory string    `json:"directory"`      // with OpenRC's own files
	Patched   bool      `json:"alpine_patches"` // OpenRC knows netns and vrf in Alpine's way too
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"` // what could not be looked at, and why
}

// Service is one that has settings of ours, or that makes a network namespace.
type Service struct {
	Name      string    `json:"name"`
	Known     bool      `json:"settings_known"` // false if only a shell can tell the settings; then the next three say nothing
	Netns     string    `json:"netns"`
	VRF       string    `json:"vrf"`
	Lock      bool      `json:"lock"`
	Makes     string    `json:"makes"` // the network namespace that this service makes
	Findings  []Finding `json:"findings"`
	Unchecked []string  `json:"unchecked"`
}

// NotExistError says that there is no service of that name.
type NotExistError struct{ Service string }

func (e *NotExistError) Error() string {
	return fmt.Sprintf("service %q does not exist: there is neither %s/%s nor %s/%s",
		e.Service, initDir, e.Service, confDir, e.Service)
}

// Look looks at the services called names and those of their network namespaces,
// or at all that have settings of ours if there are no names. The error is
// ErrNotOpenRC or a *NotExistError, or says that no service can have the name or
// that a directory cannot be read.
//
// The caller has locked the thread: from inside, it is moved to the mounts of
// process 1, which are those that a start sees. Without CAP_SYS_ADMIN less can be
// seen, and the report says what.
func Look(names []string) (*Report, error) {
	var report Report
	root := privilege.CheckSysAdmin() == nil
	if root {
		if err := mounts.EnterHost(); err != nil {
			return nil, err
		}
	}
	var err error
	if report.System, err = lookAtSystem(); err != nil {
		return nil, err
	}
	l := looker{openrc: report.System, root: root}
	named := len(names) > 0
	if !named {
		if names, err = services(); err != nil {
			return nil, err
		}
	}
	report.Services = []Service{}
	names = slices.Clone(names)
	for i := 0; i < len(names); i++ {
		s, err := l.look(names[i], named)
		if err != nil {
			return nil, err
		}
		if s == nil {
			continue
		}
		report.Services = append(report.Services, *s)
		// It is started first.
		if script := maker(s.Netns); script != "" && !slices.Contains(names, filepath.Base(script)) {
			names = append(names, filepath.Base(script))
		}
	}
	return &report, nil
}

// Findings counts all of them.
func (r *Report) Findings() int {
	n := len(r.System.Findings)
	for _, s := range r.Services {
		n += len(s.Findings)
	}
	return n
}

// run is a remedy of commands, write one of edits.
func run(text string, commands ...string) Remedy {
	return Remedy{Text: text, Commands: commands, Edits: []Edit{}}
}

func write(text string, edits ...Edit) Remedy {
	return Remedy{Text: text, Commands: []string{}, Edits: edits}
}
