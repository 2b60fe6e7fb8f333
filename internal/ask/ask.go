// Package ask has OpenRC's own openrc-run.sh read the settings of a service, as far as
// it reads them before a part of the init script runs, or until it has read that. The
// library of the drop-in answers (openrc/service.sh). A look stays a look: see
// sandbox.Look.
package ask

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"openrc-netns/internal/files"
	"openrc-netns/internal/privilege"
	"openrc-netns/internal/rcdir"
	"openrc-netns/internal/sandbox"
)

// The limits of one question, and of all that are asked since Begin.
const (
	patience = 2 * time.Second
	allTime  = 5 * time.Second
	most     = 64 << 10 // bytes
)

var (
	spent time.Duration
	heard = map[string]said{} // what was said, by the question
)

type said struct {
	answers []Values
	err     error
}

// Begin is for who is going to look at many services: what was asked before counts no
// more.
func Begin() {
	spent = 0
	clear(heard)
}

// UnknownError says why nobody can tell, without a start, what a shell makes of the
// settings.
type UnknownError struct{ Why string }

func (e *UnknownError) Error() string { return "the settings are not known: " + e.Why }

// FailsError says that OpenRC does not come past the settings: no start does.
type FailsError struct{ Why string } // what the shell says, on one line

func (e *FailsError) Error() string { return "OpenRC cannot read the settings: " + e.Why }

// Values are those of variables. One that is not set is not there.
type Values map[string]string

// ErrNotOpenRC says that this machine has no OpenRC to ask.
var ErrNotOpenRC = errors.New("there is no OpenRC here: no openrc-run.sh in the directories where OpenRC keeps its shell files")

// RunScript is what runs init scripts, below the directory that Directory finds.
const RunScript = "sh/openrc-run.sh"

// directories are where OpenRC keeps its own files: Gentoo, Debian, Alpine, and
// what older releases chose on other machines.
var directories = []string{"/usr/libexec/rc", "/usr/lib/rc", "/lib/rc", "/libexec/rc", "/usr/lib64/rc", "/lib64/rc"}

// Directory is where OpenRC keeps its own files. The error is ErrNotOpenRC.
func Directory() (string, error) {
	for _, dir := range append([]string{os.Getenv("RC_LIBEXECDIR")}, directories...) {
		if info, err := os.Stat(filepath.Join(dir, RunScript)); dir != "" && err == nil && info.Mode().IsRegular() {
			return dir, nil
		}
	}
	return "", ErrNotOpenRC
}

// Runlevel is the one that OpenRC is in: openrc-run's children have it in
// RC_RUNLEVEL, everybody else finds it in softlevel. Empty where OpenRC has
// not booted the machine.
func Runlevel() string {
	if level := os.Getenv("RC_RUNLEVEL"); level != "" {
		return level
	}
	level, err := files.Read(filepath.Join(rcdir.State(), "softlevel"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(level))
}

// Settings returns the values that variables have when OpenRC has read what is
// set for all services and the conf.d files of this one. The error is an *UnknownError
// or a *FailsError. It needs a locked thread, and root: others are told that it is not
// known.
func Settings(service string, names []string) (Values, error) {
	answers, err := question("settings", service, names)
	if err != nil {
		return nil, err
	}
	return answers[0], nil
}

// Script is Settings when OpenRC has read the init script too, and before.
func Script(service string, names []string) (before, after Values, err error) {
	answers, err := question("script", service, names)
	if err != nil {
		return nil, nil, err
	}
	if len(answers) < 2 {
		return nil, nil, &UnknownError{"the init script did not come to its end"}
	}
	return answers[0], answers[1], nil
}

// question is put once.
func question(what, service string, names []string) ([]Values, error) {
	probe := what + " " + strings.Join(names, " ")
	known, asked := heard[service+"/"+probe]
	if !asked {
		known.answers, known.err = put(service, probe, names)
		heard[service+"/"+probe] = known
	}
	return known.answers, known.err
}

func put(service, probe string, names []string) ([]Values, error) {
	dir, err := Directory()
	if err != nil {
		return nil, &UnknownError{err.Error()}
	}
	if privilege.CheckSysAdmin() != nil {
		return nil, &UnknownError{"only a shell can read them, which only root may ask"}
	}
	if spent >= allTime {
		return nil, &UnknownError{fmt.Sprintf("shells have been asked for %v already", allTime)}
	}
	began := time.Now()
	script := filepath.Join(rcdir.Init, service)
	run := filepath.Join(dir, RunScript)
	looked, err := sandbox.Look([]string{run, script, "describe"}, []string{
		"OPENRC_NETNS_PROBE=" + probe, "RC_SVCNAME=" + service, "RC_SERVICE=" + script,
		"RC_PATH=/etc", "RC_LIBEXECDIR=" + dir, "RC_SVCDIR=" + rcdir.State(), "RC_RUNLEVEL=" + Runlevel(), "RC_CMD=start",
		"EINFO_COLOR=no", "PATH=" + dir + "/bin:" + dir + "/sbin:/sbin:/bin:/usr/sbin:/usr/bin",
	}, min(patience, allTime-spent), most)
	spent += time.Since(began)
	answers := parse(looked.Output, names)
	switch {
	case looked.Beyond:
		return nil, &UnknownError{"a shell that reads them does more than to look, such as to write to a file or to ask the network"}
	case err != nil:
		return nil, &UnknownError{fmt.Sprintf("a shell was asked to read them: %v", err)}
	case len(answers) == 0 && looked.Status == 0:
		return nil, &UnknownError{"OpenRC was asked to read them, and said nothing"}
	case len(answers) == 0:
		return nil, &FailsError{complaint(looked)}
	}
	return answers, nil
}

// mark is what an answer begins and ends with.
const mark = "openrc-netns\x00"

// parse takes the answers out of what was printed, which conf.d files may add to.
func parse(output []byte, names []string) []Values {
	var answers []Values
	for {
		_, rest, _ := bytes.Cut(output, []byte(mark))
		values := Values{}
		for _, name := range names {
			field, more, found := bytes.Cut(rest, []byte{0})
			rest = more
			value, set := strings.CutPrefix(string(field), name+"=")
			if !found || !set && string(field) != name {
				return answers
			}
			if set {
				values[name] = value
			}
		}
		var ended bool
		if output, ended = bytes.CutPrefix(rest, []byte(mark)); !ended {
			return answers
		}
		answers = append(answers, values)
	}
}

// complaint is the first thing that a shell says that has failed.
func complaint(looked sandbox.Looked) string {
	for line := range bytes.Lines(looked.Errors) {
		text := strings.Map(func(c rune) rune {
			if c < ' ' || c >= 0x7f && c < 0xa0 {
				return -1
			}
			return c
		}, string(bytes.TrimSpace(line)))
		if text = strings.TrimSpace(strings.TrimPrefix(text, "* ")); text != "" {
			return text
		}
	}
	return fmt.Sprintf("the shell ended with %d", looked.Status)
}
