package openrc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"openrc-netns/internal/launch"
	"openrc-netns/internal/namespace"
	"openrc-netns/internal/privilege"
)

// Start is the action that confines a service: it is strict, all others act
// where start acted.
const Start = "start"

// Status is the action that says how a service is.
const Status = "status"

// cgroupCleanup is the command that OpenRC gives to every script.
const cgroupCleanup = "cgroup_cleanup"

// Action is one call of openrc-run.sh for a service.
type Action struct {
	Service string
	Name    string // start, stop, status, or a command of the script's own
	Restart bool   // a stop that a start is to follow
}

// survives reports whether the action makes sense with the namespace gone:
// stop and status always work, and so does OpenRC's own clean-up. A command of
// the script's own does not: a firewall's "save" in an empty namespace would
// overwrite the saved rules with none.
func (a Action) survives() bool {
	switch a.Name {
	case "stop", Status, cgroupCleanup:
		return true
	}
	return false
}

// Check plans the action: argv in the place where it belongs. Warn is told
// what an administrator should know of that place.
func (a Action) Check(settings Settings, argv, env []string, warn func(string)) (*launch.Plan, error) {
	if err := CheckName(a.Service); err != nil {
		return nil, err
	}
	spec, err := settings.Spec()
	spec.Service, spec.Argv, spec.Env, spec.Warn = a.Service, argv, env, warn
	spec.Home = true
	if a.Name == Start {
		if err != nil {
			return nil, err
		}
		if a.Resumes() {
			return a.checkResume(settings, spec, warn)
		}
		return checkStart(spec)
	}
	if a.Restart && settings.Confined() {
		if err == nil {
			trial := spec
			trial.Trial = true
			_, err = checkStart(trial)
		}
		if err != nil {
			return nil, fmt.Errorf("not stopped, because the start would fail: %w", err)
		}
	}
	record, unreadable := ReadRecord(a.Service)
	if err := privilege.CheckSysAdmin(); err != nil {
		if record != nil && record.here() {
			// A locked supervisor asks for a health check of its daemon.
			return launch.Stay(spec)
		}
		return nil, err
	}
	switch {
	case record != nil:
		spec.Netns, spec.Join = record.Netns, record.Cgroup
		if spec.Inside, err = a.recorded(record, warn); err == nil && !spec.Inside.IsFresh() {
			spec.View = record.view(a.Service)
		}
	case unreadable != nil && settings.Netns == "":
		// It may have been started in any namespace.
		spec.Inside, err = a.elsewhere(unreadable, warn)
	case !settings.Confined():
		return checkStart(spec) // brought home from inside
	default:
		if unreadable != nil {
			warn(unreadable.Error())
		}
		spec.Inside, err = a.configured(settings.Netns, warn)
		if a.Name == "stop" && unreadable == nil && settings.Netns != "" && err == nil && !spec.Inside.IsFresh() {
			warn("it was not started in a network namespace: what it has set up outside stays there")
		}
	}
	if err != nil {
		return nil, err
	}
	if a.Name == cgroupCleanup {
		spec.Join = "" // it kills all that is in the cgroup
	}
	spec.Tolerant = true
	spec.VRF, spec.Lock = "", false
	if settings.Etc != launch.EtcNone {
		spec.Etc = launch.EtcBind
	}
	return launch.Check(spec)
}

// Resumes reports whether the action is the rest of a start: of one that left
// the service inactive (start_inactive in openrc-run(8)), until the daemon or
// what watches it says in the background that it is up. The record of that start
// then stays.
func (a Action) Resumes() bool {
	if a.Name != Start {
		return false
	}
	_, err := os.Lstat(filepath.Join(StateDir(), "wasinactive", a.Service))
	if err != nil {
		return false
	}
	_, err = os.Lstat(ValuePath(a.Service, recordValue))
	return err == nil
}

// checkResume plans the rest of a start where its beginning acted, whatever the
// name leads to by now.
func (a Action) checkResume(settings Settings, spec launch.Spec, warn func(string)) (*launch.Plan, error) {
	record, err := ReadRecord(a.Service)
	if err != nil {
		return nil, err
	}
	if err := privilege.CheckSysAdmin(); err != nil {
		if record != nil && record.here() {
			return launch.Stay(spec) // a locked daemon says that it is up
		}
		return nil, err
	}
	if record == nil {
		return checkStart(spec)
	}
	spec.Netns, spec.NotHost = record.Netns, false
	if spec.Inside, err = a.recorded(record, warn); err != nil {
		return nil, err
	}
	if spec.View = record.view(a.Service); spec.View != nil && settings.Confined() && record.View != settings.View() {
		return nil, errors.New("netns_etc, netns_hide, netns_lock or netns_lock_keep was changed since the beginning of the start: stop it, and start it again")
	}
	return launch.Check(spec)
}

func checkStart(spec launch.Spec) (*launch.Plan, error) {
	if spec.Netns == "" {
		if err := privilege.CheckSysAdmin(); err != nil {
			return nil, err // only root may look at process 1
		}
		host, err := namespace.Open(namespace.Host)
		if err != nil {
			return nil, err
		}
		spec.Inside = host
	}
	return launch.Check(spec)
}

// recorded is the namespace, for an action other than a first start, of a service
// that was started in one. It is never the one that the caller happens to be in.
func (a Action) recorded(record *Record, warn func(string)) (*namespace.Namespace, error) {
	ns := record.find()
	if ns == nil {
		return a.elsewhere(fmt.Errorf("the network namespace %q that the service was started in is gone", record.Netns), warn)
	}
	if record.Netns != "" && ns.Name() != record.Netns {
		warn(fmt.Sprintf("the name %q no longer leads to the network namespace that the service was started in: acting in that one", record.Netns))
	}
	return ns, nil
}

// configured is the namespace for such an action of a service of which nothing is
// recorded.
func (a Action) configured(netns string, warn func(string)) (*namespace.Namespace, error) {
	if netns == "" {
		netns = namespace.Host // vrf or lock alone
	}
	ns, err := namespace.Open(netns)
	switch {
	case err == nil:
		return ns, nil
	case !a.survives(): // says how to make it
	case errors.As(err, new(*namespace.NotExistError)):
		err = fmt.Errorf("network namespace %q does not exist", netns)
	case errors.As(err, new(*namespace.StaleError)):
		err = fmt.Errorf("network namespace %q is stale", netns)
	}
	return a.elsewhere(err, warn)
}

// elsewhere is for an action that has nowhere to act: a new namespace, where the
// action makes sense there.
func (a Action) elsewhere(reason error, warn func(string)) (*namespace.Namespace, error) {
	if !a.survives() {
		return nil, reason
	}
	warn(fmt.Sprintf("%v: acting in a new, empty one", reason))
	return namespace.Fresh(), nil
}
