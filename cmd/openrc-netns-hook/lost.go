package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"openrc-netns/internal/files"
	"openrc-netns/internal/inherited"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/option"
)

// lostToken is what the drop-in is told, in place of settings, when it has to do
// without its library.
const lostToken = "lost"

// The question whether OpenRC takes the way past the drop-in, and that it does.
const (
	probeEnv    = "OPENRC_NETNS_PROBE"
	probeAnswer = "openrc-netns\n"
)

// lost stands in for the library of the drop-in, of which a file is missing or does
// not belong to it. Nothing starts, and what runs can be stopped: where it was
// started is on record. The arguments are the file; the command line of
// openrc-run.sh as the shell reads it, without what separates its words; netns, vrf
// and netns_lock; openrc-run.sh and the init script.
func lost(args []string) error {
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help") {
		return option.ErrHelp
	}
	if len(args) != 7 {
		return errors.New("lost: needs what the drop-in gives it; see: openrc-netns-hook --help")
	}
	file, line, program, script := args[0], args[1], args[5], args[6]
	action := openrc.Action{Service: os.Getenv("RC_SVCNAME")}
	_, action.Name, _ = strings.Cut(line, program+script)
	argv := []string{program, script, action.Name}

	why := "is not of the version of the drop-in"
	if _, err := files.Read(file); errors.Is(err, fs.ErrNotExist) {
		why = "is missing"
	} else if err != nil {
		why = "cannot be read"
	}
	why = fmt.Sprintf("%s %s, install openrc-netns again", file, why)
	action.Restart = action.Name == "stop" && strings.HasSuffix(os.Getenv("RC_CMD"), "restart")
	switch {
	case action.Name == "describe" && os.Getenv(probeEnv) != "":
		return write(probeAnswer) // it is not OpenRC that is amiss
	case action.Name == "depend", action.Name == "describe":
		return unix.Exec(program, argv, append(inherited.Environ(), fmt.Sprintf("%s=%d %s", enteredEnv, os.Getpid(), lostToken)))
	case action.Restart:
		return refuse(action, why)
	case action.Name == "stop", action.Name == openrc.Status, action.Name == "cgroup_cleanup":
		fmt.Fprintf(os.Stderr, "openrc-netns-hook: %s: %s\n", action.Service, why)
		settings := openrc.Settings{Netns: args[2], VRF: args[3], Lock: args[4]}
		return eerror(fmt.Sprintf("%s: %v", action.Service, become(action, settings, lostToken, argv)))
	}
	return eerror(action.Service + ": " + why)
}
