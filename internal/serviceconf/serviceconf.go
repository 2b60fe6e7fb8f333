// Package serviceconf reads what conf.d sets for a service, and what its init script
// looks like. What is plain needs no shell (see confd), for the rest one is asked (see
// ask). A launch that OpenRC asks for is given the settings by the shell, and does
// without this package.
package serviceconf

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"openrc-netns/internal/ask"
	"openrc-netns/internal/confd"
	"openrc-netns/internal/openrc"
	"openrc-netns/internal/rcdir"
)

// confining are the settings that confine a service.
var confining = []string{"netns", "vrf", "netns_lock"}

// Read reads the settings of service. It is a *NotExistError if there are no conf.d
// files of it, and else as Values'. What none of them says of netns, Default does.
func Read(service string) (openrc.Settings, error) {
	if err := openrc.CheckName(service); err != nil {
		return openrc.Settings{}, err
	}
	values, err := Values(service, append([]string{DefaultSetting, RunlevelsSetting}, openrc.Names...))
	if err != nil {
		return openrc.Settings{}, err
	}
	var settings openrc.Settings
	for _, name := range openrc.Names {
		settings.Set(name, values[name])
	}
	found := len(Files(service)) > 0
	if _, said := values["netns"]; !said {
		set, err := Global(DefaultSetting, RunlevelsSetting)
		if err != nil {
			return openrc.Settings{}, err
		}
		set = maps.Clone(set)
		maps.Copy(set, values) // where it has no business, and counts
		fallback := newDefault(set)
		if fallback.Netns != "" && fallback.Exempts(service) == "" {
			settings.Netns, found = fallback.Netns, true
		}
	}
	if !found {
		return openrc.Settings{}, &NotExistError{service}
	}
	return settings, nil
}

// Values reads the conf.d files of service in the order of openrc-run: for
// ssh.vpn those of ssh and then those of ssh.vpn, and of each the one of the
// runlevel if there is one, else the plain one. It returns the values of those of names
// that they set.
//
// If one of the files is for a shell alone, and may set one of names, or another one
// does, a shell is asked: it may end with an error, and no start comes past that. The
// error is an *UnknownError then, or an *ask.FailsError.
func Values(service string, names []string) (map[string]string, error) {
	return read(service, Files(service), names)
}

func read(service string, files, names []string) (map[string]string, error) {
	values, err := plain(files, names)
	var shell *confd.ShellError
	if !errors.As(err, &shell) {
		return values, err
	}
	asked, err := ask.Settings(service, names)
	if unknown := (*ask.UnknownError)(nil); errors.As(err, &unknown) {
		return nil, &UnknownError{shell.Path, shell.Line, unknown.Why}
	}
	return asked, err
}

// plain reads files, the later of which have the last word. It is a *confd.ShellError if
// a shell has to be asked.
func plain(files, names []string) (map[string]string, error) {
	values := map[string]string{}
	var shell error
	may := false
	for _, file := range files {
		found, err := confd.ReadFile(file, names)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.As(err, new(*confd.ShellError)):
			shell = err
			may = may || confd.MayAssign(file, names)
		case err != nil:
			return nil, err
		}
		maps.Copy(values, found)
	}
	if shell != nil && (may || len(values) > 0) {
		return nil, shell
	}
	return values, nil
}

// UnknownError says that nobody can tell, without a start, what the settings of a
// service are.
type UnknownError struct {
	Path string // the file that is not plain
	Line int    // where it is not
	Why  string
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s: line %d: only a shell can tell what is set, and none could be asked: %s", e.Path, e.Line, e.Why)
}

// Files lists the files that Read reads for service, in its order.
func Files(service string) []string {
	bases := []string{service}
	if base, _, multiplexed := strings.Cut(service, "."); multiplexed && base != "" {
		bases = []string{base, service}
	}
	level := ask.Runlevel()
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

// MayConfine reports whether the conf.d files of service have what looks like a setting
// that confines it.
func MayConfine(service string) bool {
	return slices.ContainsFunc(Files(service), func(file string) bool {
		return slices.ContainsFunc(confd.Assignments(file), func(a confd.Assignment) bool { return slices.Contains(confining, a.Name) })
	})
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
