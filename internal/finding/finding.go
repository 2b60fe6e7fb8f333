// Package finding is what an audit of running services (package audit) and a
// check before they start (package preflight) have in common: what they found,
// as facts. The words for it are the business of those who show it.
package finding

import "slices"

// Finding is one thing that is not as it should be.
type Finding struct {
	ID      ID
	Gravity Gravity
	Where   Where
	Args    []any // what there is to say of it, as its ID has it
	Remedy  Remedy
}

// Gravity is what becomes of a finding if nobody does anything about it.
type Gravity string

const (
	// Outside: a process is not where the settings say, or will not be.
	Outside Gravity = "outside"
	// Sockets: some are not bound, or not to that VRF.
	Sockets Gravity = "sockets"
	// Files: one of /etc is not that of /etc/netns.
	Files Gravity = "files"
	// Stale: the name was deleted or recreated since the start.
	Stale Gravity = "stale"
	// Missing: the network namespace does not exist.
	Missing Gravity = "missing"
	// Fails: the service does not start.
	Fails Gravity = "fails"
	// Warning: it starts in its place, and something is not as it was meant.
	Warning Gravity = "warning"
)

// Where is a place to look at; the zero value is none.
type Where struct {
	Path string
	Line int // from 1; 0 where the whole of it is meant
}

// Remedy is what to do that can be given literally.
type Remedy struct {
	Commands []Command // for root, one after the other
	Edits    []Edit
}

// Command is a program to run.
type Command struct {
	Args   []string // the program and its arguments
	Append string   // the file to the end of which its output goes; empty if it has none to keep
}

// Edit is a line of a file, counted from 1, and what to write in its place. An
// empty text stands for an empty line.
type Edit struct {
	Path string
	Line int
	Text string
}

// Run is a remedy of one command.
func Run(args ...string) Remedy { return Remedy{}.Run(args...) }

// Run adds a command to the remedy.
func (r Remedy) Run(args ...string) Remedy {
	r.Commands = append(r.Commands, Command{Args: args})
	return r
}

// RunAll adds commands.
func (r Remedy) RunAll(commands [][]string) Remedy {
	for _, args := range commands {
		r = r.Run(args...)
	}
	return r
}

// RunTo adds a command whose output goes to the end of a file.
func (r Remedy) RunTo(file string, args ...string) Remedy {
	r.Commands = append(r.Commands, Command{args, file})
	return r
}

// Write is a remedy of edits; none of them, where the line of one is not known.
func Write(edits ...Edit) Remedy {
	if slices.ContainsFunc(edits, func(e Edit) bool { return e.Line == 0 }) {
		return Remedy{}
	}
	return Remedy{Edits: edits}
}
