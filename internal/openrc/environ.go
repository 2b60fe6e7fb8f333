package openrc

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"openrc-netns/internal/inherited"
)

// What the drop-in and the hook tell each other. All but the first the drop-in
// takes out of the environment before anything else runs.
const (
	// environEnv is the environment in which openrc-run.sh is to start over, a
	// line for each variable; see decodeEnvironment.
	environEnv = "OPENRC_NETNS_ENVIRON"
	// enteredEnv is the process that was let in, a blank, and what the drop-in
	// gave as --token: the settings in a spelling of its own. It believes it
	// where openrc-run.sh was executed by the path that it gave.
	enteredEnv = "OPENRC_NETNS_ENTERED"
	// cgroupEnv is the cgroup that binds the sockets of what is started.
	cgroupEnv = "OPENRC_NETNS_CGROUP"
	// noticeEnv is what the drop-in is to warn of.
	noticeEnv = "OPENRC_NETNS_NOTICE"
	// whereEnv is where the service runs, for the drop-in to say.
	whereEnv = "OPENRC_NETNS_WHERE"
)

func entered(token string) string { return fmt.Sprintf("%d %s", os.Getpid(), token) }

// environment is the one to start the service in: the one that the drop-in
// gave, or without a drop-in our own.
func environment() []string {
	own := inherited.Environ()
	for _, entry := range own {
		if lines, found := strings.CutPrefix(entry, environEnv+"="); found {
			return unforged(decodeEnvironment(lines, own))
		}
	}
	return unforged(own)
}

// unforged takes out of env what only the drop-in and the hook have to say.
func unforged(env []string) []string {
	return slices.DeleteFunc(env, func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return slices.Contains([]string{environEnv, enteredEnv, cgroupEnv, noticeEnv, whereEnv}, name)
	})
}

// decodeEnvironment reads a line for each variable. A \x01 in it stands for a
// newline, or for itself. The shell of the drop-in has exported to us all that
// it has not changed, as it was: own, where it agrees with the line, tells
// which of them it is. Else it is a newline, which is in the values of many,
// while a \x01 would have to be in a variable that openrc-run.sh or conf.d have
// changed since, of a name that the shell does not know as one, or of those that
// the Go runtime obeys, which the drop-in keeps from us.
func decodeEnvironment(lines string, own []string) []string {
	if lines == "" {
		return nil
	}
	env := strings.Split(lines, "\n")
	for i, line := range env {
		if strings.Contains(line, "\x01") {
			env[i] = decodeEntry(line, own)
		}
	}
	return env
}

func decodeEntry(line string, own []string) string {
	for _, entry := range own {
		if len(entry) == len(line) && strings.ReplaceAll(entry, "\n", "\x01") == line {
			return entry
		}
	}
	return strings.ReplaceAll(line, "\x01", "\n")
}
