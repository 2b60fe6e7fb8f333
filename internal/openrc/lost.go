package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/inherited"
)

// lostToken is what the drop-in is told, in place of settings, when it has to
// do without its library.
const lostToken = "lost"

// The question whether OpenRC takes the way past the drop-in, and that it does.
const (
	probeEnv    = "OPENRC_NETNS_PROBE"
	probeAnswer = "openrc-netns\n"
)

// Lost is a call of openrc-run.sh for the service RC_SVCNAME where the drop-in
// lacks its library: a file of it is missing or does not belong to it.
type Lost struct {
	File     string // of the library
	Line     string // the command line as the shell reads it, without what separates its words
	Settings Settings
	Program  string // openrc-run.sh
	Script   string // the init script
}

// Exec stands in for the library. Nothing starts, and what runs can be stopped:
// where it was started is on record. It becomes what Action.Exec and
// Action.Refuse do; or returns the answer that OpenRC was asked for, to be
// printed. Warn is told what is wrong where it goes on.
func (l Lost) Exec(warn func(string)) (answer string, err error) {
	action := Action{Service: os.Getenv("RC_SVCNAME")}
	_, action.Name, _ = strings.Cut(l.Line, l.Program+l.Script)
	action.Restart = action.Name == "stop" && strings.HasSuffix(os.Getenv("RC_CMD"), "restart")
	// The path by which the drop-in knows us. It has given no environment.
	argv, env := []string{"/." + l.Program, l.Script, action.Name}, unforged(inherited.Environ())
	switch {
	case action.Name == "describe" && os.Getenv(probeEnv) != "":
		return probeAnswer, nil // OpenRC is not what is at fault
	case action.Name == "depend", action.Name == "describe":
		return "", unix.Exec(argv[0], argv, append(env, enteredEnv+"="+entered(lostToken)))
	case action.survives() && !action.Restart:
		warn(action.Service + ": " + l.why())
		return "", action.become(l.Settings, lostToken, argv, env)
	}
	return "", action.Refuse(l.why())
}

func (l Lost) why() string {
	why := "is not of the version of the drop-in"
	if _, err := files.Read(l.File); errors.Is(err, fs.ErrNotExist) {
		why = "is missing"
	} else if err != nil {
		why = "cannot be read"
	}
	return fmt.Sprintf("%s %s, install openrc-netns again", l.File, why)
}
