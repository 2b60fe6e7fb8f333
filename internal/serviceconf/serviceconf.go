// Package serviceconf reads, without a shell, what conf.d sets for a service,
// and what its init script looks like. A launch that OpenRC asks for is given
// the settings by the shell, and does without this package: see internal/confd
// for what it takes.
package serviceconf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"openrc-netns/internal/confd"
	"openrc-netns/internal/files"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
)

// Read reads the conf.d files of service in the order of openrc-run: for
// ssh.vpn those of ssh and then those of ssh.vpn, and of each the one of the
// runlevel if there is one, else the plain one. It is a *NotExistError if there
// is none, and a *confd.SyntaxError if only a shell can work out what one of
// the settings is: a file that cannot be read (see confd.Parse) says nothing of
// a setting that it does not name, and nothing that counts where a later one
// sets it. What none of them says of netns, Default does.
func Read(service string) (openrc.Settings, error) {
	if err := openrc.CheckName(service); err != nil {
		return openrc.Settings{}, err
	}
	var settings openrc.Settings
	found, said := false, false
	unknown := map[string]error{}
	for _, file := range Files(service) {
		values, err := confd.ReadFile(file, openrc.Names)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		found = true
		if errors.As(err, new(*confd.SyntaxError)) {
			for _, name := range openrc.Names {
				if confd.MayAssign(file, name) {
					unknown[name] = err
					said = said || name == "netns"
				}
			}
			continue
		}
		if err != nil {
			return openrc.Settings{}, err
		}
		for name, value := range values {
			settings.Set(name, value)
			said = said || name == "netns"
			delete(unknown, name)
		}
	}
	if !said {
		fallback, err := ReadDefault()
		if err != nil {
			return openrc.Settings{}, err
		}
		if fallback.Netns != "" && fallback.Exempts(service) == "" {
			settings.Netns, found = fallback.Netns, true
		}
	}
	if !found {
		return openrc.Settings{}, &NotExistError{service}
	}
	for _, name := range openrc.Names {
		if unknown[name] != nil {
			return openrc.Settings{}, unknown[name]
		}
	}
	return settings, nil
}

// Files lists the files that Read reads for service, in its order.
func Files(service string) []string {
	bases := []string{service}
	if base, _, multiplexed := strings.Cut(service, "."); multiplexed && base != "" {
		bases = []string{base, service}
	}
	level := runlevel()
	var found []string
	for _, base := range bases {
		choice := []string{base + "." + level, base}
		if level == "" {
			choice = choice[1:]
		}
		for _, name := range choice {
			file := filepath.Join(rcdir.Conf, name)
			if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
				found = append(found, file)
				break
			}
		}
	}
	return found
}

// NotExistError says that a service has no conf.d file.
type NotExistError struct{ Service string }

func (e *NotExistError) Error() string {
	return fmt.Sprintf("service %q has no settings: there is no %s", e.Service, filepath.Join(rcdir.Conf, e.Service))
}

// MaySetNetns reports whether a conf.d file of service, one that Read refuses,
// assigns to a variable that confines services, for all that can be told
// without a shell.
func MaySetNetns(service string) bool {
	for _, file := range Files(service) {
		for _, name := range []string{"netns", "vrf", "netns_lock"} {
			if confd.Assigns(file, name) {
				return true
			}
		}
	}
	return false
}

// HasDaemon reports whether the init script of service has a daemon to start,
// by the looks of it: it sets command, calls one of the programs that start
// daemons, or knows of a pidfile.
func HasDaemon(service string) bool {
	script := filepath.Join(rcdir.Init, service)
	if confd.Assigns(script, "command") {
		return true
	}
	for _, text := range []string{"start-stop-daemon", "supervise-daemon", "pidfile", "PIDFILE"} {
		if confd.Has(script, text) {
			return true
		}
	}
	return false
}

// runlevel is the one that OpenRC is in: openrc-run's children have it in
// RC_RUNLEVEL, everybody else finds it in softlevel. Empty where OpenRC has
// not booted the machine.
func runlevel() string {
	if level := os.Getenv("RC_RUNLEVEL"); level != "" {
		return level
	}
	level, err := files.Read(filepath.Join(rcdir.State(), "softlevel"))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(level))
}
