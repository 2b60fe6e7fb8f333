package openrc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"openrc-netns/internal/rcdir"
)

// NotBootedError says that OpenRC has not booted this machine, and so knows
// nothing about its services.
type NotBootedError struct {
	// Path is the file that OpenRC would have made.
	Path string
}

func (e *NotBootedError) Error() string {
	return fmt.Sprintf("OpenRC has not booted this machine: there is no %s", e.Path)
}

// CheckBooted returns a *NotBootedError where OpenRC has not booted the
// machine.
func CheckBooted() error {
	path := filepath.Join(rcdir.State(), "softlevel")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return &NotBootedError{path}
	} else if err != nil {
		return fmt.Errorf("look for OpenRC's state: %w", err)
	}
	return nil
}

// Services lists, in order, the services that have an init script, and those
// that have a record (ReadRecord) and no script any more.
func Services() ([]string, error) {
	entries, err := os.ReadDir(rcdir.Init)
	if err != nil {
		return nil, fmt.Errorf("list the services: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if HasScript(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	records, _ := filepath.Glob(valuePath("*", recordValue))
	for _, record := range records {
		if info, err := os.Lstat(record); err != nil || !info.Mode().IsRegular() {
			continue // no start has made it
		}
		names = append(names, filepath.Base(filepath.Dir(record)))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// HasScript reports whether service has an init script, which is a file that
// can be executed.
func HasScript(service string) bool {
	if CheckName(service) != nil {
		return false
	}
	info, err := os.Stat(filepath.Join(rcdir.Init, service))
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// State is what OpenRC has on record of a service, in the words of
// rc-status(8).
type State string

// The states. A failed service is a stopped one whose start has failed.
const (
	Stopped  State = "stopped"
	Started  State = "started"
	Starting State = "starting"
	Stopping State = "stopping"
	Inactive State = "inactive"
	Failed   State = "failed"
	Crashed  State = "crashed" // started, and a daemon is gone; see Daemons
)

// ReadState returns the state of service, and never Crashed. It goes by the
// marks in OpenRC's state directory, and runs nothing of the service.
func ReadState(service string) State {
	// Of several marks, OpenRC takes the one that comes last here.
	state := Stopped
	for _, s := range []State{Failed, Started, Starting, Stopping, Inactive} {
		if _, err := os.Lstat(filepath.Join(rcdir.State(), string(s), service)); err == nil {
			state = s
		}
	}
	return state
}
